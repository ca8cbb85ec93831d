// Command pause is the only program in the image of pods: what holds a pod's namespaces, and two more
// things that a check of the network needs of a pod.
//
//	pause            waits for SIGTERM or SIGINT
//	pause serve      answers on :8080 with the pod's name
//	pause get URL    prints what it got; exits with 1 if that is no 200
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		go serve()
	case len(os.Args) == 3 && os.Args[1] == "get":
		get(os.Args[2])
		return
	}
	<-end
}

func serve() {
	name, _ := os.Hostname()
	fmt.Println("serving as", name)
	fail(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, name)
	})))
}

func get(url string) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		fail(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		fail(fmt.Errorf("%s: %s", url, answer.Status))
	}
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
