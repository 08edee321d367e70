package main_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// stalled <name> <program> [args]: starts a program in the background. Its outputs are full
// pipes, which nobody empties before resume.
func (s *script) stalled(ts *testscript.TestScript, args []string) {
	p := &process{cmd: exec.Command(args[1], args[2:]...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = s.env.WorkDir, s.env.Vars
	stdout, stdoutEnd := fullPipe(ts)
	stderr, stderrEnd := fullPipe(ts)
	p.cmd.Stdout, p.cmd.Stderr = stdoutEnd, stderrEnd
	err := p.cmd.Start()
	_, _ = stdoutEnd.Close(), stderrEnd.Close()
	if err != nil {
		ts.Fatalf("%v", err)
	}
	s.processes[args[0]] = p
	s.stalls[args[0]] = func() {
		for _, end := range []struct {
			from *os.File
			to   *output
		}{{stdout, &p.stdout}, {stderr, &p.stderr}} {
			s.serving.Go(func() {
				_, _ = io.Copy(end.to, end.from) // ends with the program
				_ = end.from.Close()
			})
		}
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
}

// fullPipe returns the ends of a pipe that takes no further byte.
func fullPipe(ts *testscript.TestScript) (reading, writing *os.File) {
	reading, writing, err := os.Pipe()
	if err != nil {
		ts.Fatalf("%v", err)
	}
	if err := writing.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		ts.Fatalf("%v", err)
	}
	line := strings.Repeat("-", 4095) + "\n" // of which it holds a whole number
	for err == nil {
		_, err = writing.WriteString(line)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		ts.Fatalf("filling a pipe: %v", err)
	}
	return reading, writing
}

// resume <name>: reads the outputs of a stalled program from now on.
func (s *script) resume(ts *testscript.TestScript, args []string) {
	resume, ok := s.stalls[args[0]]
	if !ok {
		ts.Fatalf("%s is not stalled", args[0])
	}
	delete(s.stalls, args[0])
	resume()
}

// users <number> <port>: connects as one user after the other, and expects to be served.
func (s *script) users(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	for i := range n {
		if err := useOnce(args[1]); err != nil {
			ts.Fatalf("user %d: %v", i, err)
		}
	}
}

func useOnce(port string) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, port), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != "hello" {
		err = errors.New("got " + strconv.Quote(string(got)))
	}
	return err
}
