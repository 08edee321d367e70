package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// variable is what an heir has in its environment: the number of its descriptor of the link. The
// next one is that of the standard error of its predecessor.
const variable = "RELAY_UPGRADE_FD"

// Command is what to start.
type Command struct {
	Path string   // of the program
	Args []string // with the name of the program
	Env  []string
	// Stdout and Stderr are those of this process.
	Stdout, Stderr *os.File
}

// Heir is a process that is to take over from this one. Make it with Start.
type Heir struct {
	*Link
	cmd   *exec.Cmd
	said  tail
	ended chan struct{} // closed when the process has ended
	err   error         // with which it has; set by then
}

// Start starts a process with a link to this one. It goes on when this one has ended. Until it
// has called [Inherited] its standard error is read here: a program that does not get as far says
// why not.
func Start(c Command) (*Heir, error) {
	link, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() //nolint:errcheck // it is the process's now
	read, write, err := os.Pipe()
	if err != nil {
		_ = link.Close()
		return nil, err
	}
	defer write.Close() //nolint:errcheck // likewise
	h := &Heir{Link: link, ended: make(chan struct{})}
	const first = 3 // behind the standard ones
	h.cmd = &exec.Cmd{
		Path: c.Path, Args: c.Args, Stdout: c.Stdout, Stderr: write,
		Env:        append(slices.DeleteFunc(slices.Clone(c.Env), isVariable), variable+"="+strconv.Itoa(first)),
		ExtraFiles: []*os.File{theirs, c.Stderr},
	}
	if err := h.cmd.Start(); err != nil {
		_, _ = link.Close(), read.Close()
		return nil, fmt.Errorf("it cannot be started: %w", err)
	}
	go h.wait(read)
	return h, nil
}

func isVariable(assignment string) bool { return strings.HasPrefix(assignment, variable+"=") }

// lastLines is how long the end of the standard error of a process may take that has ended. A
// child of it may have it still.
const lastLines = 100 * time.Millisecond

// wait reads what the process writes to the pipe, and waits for its end.
func (h *Heir) wait(from *os.File) {
	defer close(h.ended)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&h.said, from) // until it has another one, or ends
		_ = from.Close()
	}()
	h.err = h.cmd.Wait()
	_ = from.SetReadDeadline(time.Now().Add(lastLines)) // fails if it is closed
	<-copied
}

// PID returns the ID of the process.
func (h *Heir) PID() int { return h.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (h *Heir) Ended() <-chan struct{} { return h.ended }

// Kill ends the process, and returns when it has ended.
func (h *Heir) Kill() {
	_ = h.cmd.Process.Kill() // fails if it has ended
	<-h.ended
}

// Why returns what the process has said last, and how it has ended, after its end.
func (h *Heir) Why() error {
	how := "it has ended"
	if h.err != nil {
		how = h.err.Error()
	}
	if said := h.said.String(); said != "" {
		return fmt.Errorf("%s (%s)", said, how)
	}
	return errors.New(how)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// mostSaid is how much of it is of use to a person.
const mostSaid = 2 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if more := len(t.text) - mostSaid; more > 0 {
		t.text = append(t.text[:0], t.text[more:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// Inherited returns the link to the process that has started this one to take over from it, or
// nil if none has. From then on the standard error is that process's, and programs that this
// one starts inherit nothing.
func Inherited() (*Link, error) {
	value, is := os.LookupEnv(variable)
	if !is {
		return nil, nil
	}
	_ = os.Unsetenv(variable)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is set by a relay that starts its successor, and %q is none of its values: unset it", variable, value)
	}
	unix.CloseOnExec(fd)
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("%s is set by a relay that starts its successor, and there is none: unset it", variable)
	}
	if err := unix.Dup3(fd+1, int(os.Stderr.Fd()), 0); err != nil {
		return nil, os.NewSyscallError("dup3", err)
	}
	_ = unix.Close(fd + 1)
	// The service manager has named the other process as the one that it watches.
	if os.Getenv("WATCHDOG_PID") == strconv.Itoa(os.Getppid()) {
		_ = os.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	}
	return newLink(os.NewFile(uintptr(fd), "link"))
}
