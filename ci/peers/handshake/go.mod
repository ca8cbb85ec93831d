module handshake

go 1.24
