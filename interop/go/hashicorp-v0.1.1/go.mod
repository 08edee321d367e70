module github.com/seed96252745/relay/interop/go/hashicorp-v0.1.1

go 1.23

require github.com/hashicorp/yamux v0.1.1
