package main_test

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// manager <socket> is a service manager for scripts: it prints each assignment that it is sent,
// and a line after each message.
func manager() {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: os.Args[1], Net: "unixgram"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("it listens")
	for b := make([]byte, 4096); ; {
		n, err := socket.Read(b)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%s\n--\n", strings.TrimSpace(string(b[:n])))
	}
}
