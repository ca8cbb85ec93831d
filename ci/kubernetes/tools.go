//go:build tools

// Package kubernetes names the programs of a cluster, so that `go mod tidy` keeps what they need.
//
// k8s.io/kubernetes is an ordinary module, but it refers to its staging modules by folder; go.mod
// replaces each of them by the release of the same number (v1.34.4 goes with v0.34.4).
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-proxy"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubeadm"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
