// Fresh mutual TLS 1.3 handshakes with one byte read back, client and server in one process: the
// peer that benches/handshake.rs is measured beside. Prints handshakes a second.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	seconds, err := strconv.Atoi(os.Args[1])
	check(err)
	root, rootKey := issue("root", nil, nil)
	issuing, issuingKey := issue("issuing", root, rootKey)
	pool := x509.NewCertPool()
	pool.AddCert(root)
	pair := func(name string) tls.Certificate {
		leaf, key := issue(name, issuing, issuingKey)
		return tls.Certificate{Certificate: [][]byte{leaf.Raw, issuing.Raw}, PrivateKey: key}
	}
	server := &tls.Config{
		Certificates: []tls.Certificate{pair("archive")}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true,
	}
	client := &tls.Config{
		Certificates: []tls.Certificate{pair("search")}, RootCAs: pool, ServerName: "archive",
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go serve(listener, server)

	begun, done := time.Now(), 0
	for time.Since(begun) < time.Duration(seconds)*time.Second {
		connection, err := tls.Dial("tcp", listener.Addr().String(), client)
		check(err)
		_, err = connection.Write([]byte{1})
		check(err)
		_, err = connection.Read(make([]byte, 1))
		check(err)
		connection.Close()
		done++
	}
	fmt.Println(float64(done) / time.Since(begun).Seconds())
}

func serve(listener net.Listener, config *tls.Config) {
	for {
		tcp, err := listener.Accept()
		check(err)
		go func() {
			connection := tls.Server(tcp, config)
			defer connection.Close()
			one := make([]byte, 1)
			if _, err := connection.Read(one); err == nil {
				connection.Write(one)
			}
		}()
	}
}

func issue(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	check(err)
	isCA := name == "root" || name == "issuing"
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: isCA,
	}
	if isCA {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.DNSNames = []string{name}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	check(err)
	certificate, err := x509.ParseCertificate(der)
	check(err)
	return certificate, key
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
