// Command etcd is etcd. It has a module of its own, because Kubernetes pins the version of etcd's
// client, and the server wants its own.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
