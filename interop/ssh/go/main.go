// Command go puts a local server online with ssh -R, on golang.org/x/crypto/ssh.
//
//	go run . <relay> <port> <local_host> <local_port>
//
// README.md says what the environment sets. The relay's host key is not verified.
package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"

	"golang.org/x/crypto/ssh"
)

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func main() {
	relay, local := net.JoinHostPort(os.Args[1], os.Args[2]), net.JoinHostPort(os.Args[3], os.Args[4])
	config := &ssh.ClientConfig{
		User:            cmp.Or(os.Getenv("SSH_USER"), "me"),
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		Auth:            []ssh.AuthMethod{ssh.KeyboardInteractive(func(_, _ string, _ []string, _ []bool) ([]string, error) { return nil, nil })},
	}
	if path := os.Getenv("SSH_KEY"); path != "" {
		text, err := os.ReadFile(path)
		check(err)
		key, err := ssh.ParsePrivateKey(text)
		check(err)
		config.Auth = append([]ssh.AuthMethod{ssh.PublicKeys(key)}, config.Auth...)
	}
	client, err := ssh.Dial("tcp", relay, config)
	check(err)
	l, err := client.Listen("tcp", net.JoinHostPort(cmp.Or(os.Getenv("BIND"), "localhost"), cmp.Or(os.Getenv("ASKED_PORT"), "0")))
	check(err)
	fmt.Println("port", l.Addr().(*net.TCPAddr).Port)
	for {
		user, err := l.Accept()
		check(err)
		go serve(user.(halfCloser), local)
	}
}

// serve joins a user with the local server. It closes a user whom the server refuses or resets,
// which is all that SSH has for that.
func serve(user halfCloser, local string) {
	defer user.Close()
	c, err := net.Dial("tcp", local)
	if err != nil {
		return
	}
	server := c.(halfCloser)
	defer server.Close()
	var back sync.WaitGroup
	back.Go(func() { copyTo(user, server) })
	copyTo(server, user)
	back.Wait()
}

// copyTo copies until src has ended, and then ends dst in this direction alone.
func copyTo(dst, src halfCloser) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		src.Close()
		return
	}
	dst.CloseWrite()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
