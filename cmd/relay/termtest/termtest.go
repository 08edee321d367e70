//go:build unix

// Package termtest has terminals for tests: a program runs on a pseudo terminal, and what
// it writes is shown on a screen that a test reads.
package termtest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// Terminal is a terminal with a program on it. Its methods may be called concurrently.
type Terminal struct {
	cmd    *exec.Cmd
	master *os.File
	ended  chan struct{}
	serves sync.WaitGroup

	mu      sync.Mutex // guards what follows
	screen  *vt.Emulator
	changed chan struct{}
}

// Start starts a program on a terminal of that size. Close has to be called.
func Start(cmd *exec.Cmd, columns, lines int) (*Terminal, error) {
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(columns), Rows: uint16(lines)})
	if err != nil {
		return nil, err
	}
	t := &Terminal{
		cmd: cmd, master: master, ended: make(chan struct{}),
		screen: vt.NewEmulator(columns, lines), changed: make(chan struct{}),
	}
	// The screen answers what the program asks it for, such as what it can do.
	answers, input := t.screen, t.screen.InputPipe()
	t.serves.Go(func() { _, _ = io.Copy(master, answers) })
	t.serves.Go(func() {
		t.show()
		_ = input.(io.Closer).Close() // ends the answers
	})
	go func() {
		defer close(t.ended)
		_ = cmd.Wait() // the status is in ProcessState
	}()
	return t, nil
}

// show shows what the program writes, until it has ended.
func (t *Terminal) show() {
	buf := make([]byte, 4096)
	for {
		n, err := t.master.Read(buf)
		t.mu.Lock()
		_, _ = t.screen.Write(buf[:n]) // it takes everything
		close(t.changed)
		t.changed = make(chan struct{})
		t.mu.Unlock()
		if err != nil {
			return // Linux returns EIO when the last program has closed its side
		}
	}
}

// look returns what is on the screen, without the spaces at the end of each line, and a
// channel that is closed when there is something else.
func (t *Terminal) look() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(t.screen.String(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n"), t.changed
}

// Text returns what is on the screen.
func (t *Terminal) Text() string {
	text, _ := t.look()
	return text
}

// Styled returns what is on the screen with its colors, as sequences of SGR.
func (t *Terminal) Styled() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.Render()
}

// WaitFor waits until what is on the screen matches a pattern, in which ^ and $ match at
// lines, and reports whether it did within that time.
func (t *Terminal) WaitFor(pattern *regexp.Regexp, patience time.Duration) bool {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		text, changed := t.look()
		if pattern.MatchString(text) {
			return true
		}
		select {
		case <-changed:
		case <-timeout.C:
			return false
		}
	}
}

// Type sends keys as a keyboard does.
func (t *Terminal) Type(keys string) error {
	_, err := io.WriteString(t.master, keys)
	return err
}

// Resize gives the terminal another size, and tells the program.
func (t *Terminal) Resize(columns, lines int) error {
	t.mu.Lock()
	t.screen.Resize(columns, lines)
	t.mu.Unlock()
	return pty.Setsize(t.master, &pty.Winsize{Cols: uint16(columns), Rows: uint16(lines)})
}

// Wait waits until the program has ended, and returns its exit status.
func (t *Terminal) Wait(patience time.Duration) (int, error) {
	select {
	case <-t.ended:
		return t.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.New("the program still runs")
	}
}

// Close kills the program, if it still runs, and waits for all of it.
func (t *Terminal) Close() {
	_ = t.cmd.Process.Signal(syscall.SIGKILL) // fails if it has ended
	<-t.ended
	t.serves.Wait()
	_ = t.master.Close()
}
