module github.com/seed96252745/relay/interop/go/libp2p

go 1.23

require github.com/libp2p/go-yamux/v5 v5.1.0

require github.com/libp2p/go-buffer-pool v0.0.2 // indirect
