package sshd_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/sshd"
)

// spoken is a connection that says what it was given, and then ends.
type spoken struct {
	conn.Conn // nil: nothing else is used
	from      io.Reader
	written   bytes.Buffer
}

func (s *spoken) Read(b []byte) (int, error)  { return s.from.Read(b) }
func (s *spoken) Write(b []byte) (int, error) { return s.written.Write(b) }

// Whatever a stranger says first, and in whatever pieces, the relay holds no more than the
// bounds of an opening, and the library reads what was said, byte for byte.
func FuzzOpening(f *testing.F) {
	kexInit := "\x14" + strings.Repeat("\x00", 16+10*4+1+4) // with ten empty lists
	f.Add([]byte("SSH-2.0-x\r\n"), false)
	f.Add([]byte("SSH-2.0-x\r\n\x00\x00\x00\x49\x0a"+kexInit+strings.Repeat("\x00", 10)+"more"), true)
	f.Add([]byte("SSH-1.99-x\n\x00\x00\x00\x01\x01"), false)
	f.Add([]byte("SSH-2.0-x\n\xff\xff\xff\xff\xff\x14"), true)
	f.Add([]byte(strings.Repeat("S", 300)), false)
	f.Fuzz(func(t *testing.T, said []byte, bytewise bool) {
		from := io.Reader(bytes.NewReader(said))
		if bytewise {
			from = iotest.OneByteReader(from)
		}
		c := &spoken{from: from}
		again, held, err := sshd.ReadOpening(c)
		if got := c.written.String(); got != sshd.Version {
			t.Fatalf("the relay says %q", got)
		}
		if err != nil {
			return
		}
		if held > 2*sshd.MaxOpening {
			t.Errorf("it holds %d bytes", held)
		}
		if got, _ := io.ReadAll(again); !bytes.Equal(got, said) {
			t.Errorf("the library reads %q of %q", got, said)
		}
		for _, part := range []string{sshd.Version[:3], sshd.Version[3:] + "a", "b"} {
			if n, err := again.Write([]byte(part)); n != len(part) || err != nil {
				t.Errorf("wrote %d of %d bytes, %v", n, len(part), err)
			}
		}
		if got := c.written.String(); got != sshd.Version+"ab" {
			t.Errorf("the client reads %q", got)
		}
	})
}

// Whatever the user name is, the relay takes it or says why not, in words for a terminal.
func FuzzWish(f *testing.F) {
	for _, user := range []string{"root", "name+web", "name+web+users+5", "auth+none", "auth+\x1b[2J", "name+", "bytes-per-second+1M+group+g+balance+spread"} {
		f.Add(user)
	}
	f.Fuzz(func(t *testing.T, user string) {
		if err := sshd.ParseWish(user); err != nil {
			checkText(t, err.Error())
		}
	})
}

// checkText fails for a text that a terminal would obey.
func checkText(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) || !utf8.ValidString(text) || len(text) > 1000 {
		t.Errorf("the text is %q", text)
	}
}

// Whatever a client asks for by tcpip-forward, the name is one that others may have.
func FuzzForward(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x09localhost\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x03web\x00\x00\x00\x50"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		bind, _, err := sshd.ParseForward(payload)
		if err != nil {
			return
		}
		if name, ok := sshd.NameOf(bind); ok && policy.CheckName(name) != nil {
			t.Errorf("the name is %q", name)
		}
	})
}

// Whatever a client says of its terminal, what it is shown is bounded, and text.
func FuzzPage(f *testing.F) {
	pty := ssh.Marshal(struct {
		Term       string
		W, H, X, Y uint32
		Modes      string
	}{"xterm", 80, 50, 0, 0, ""})
	f.Add(pty, []byte(nil), ssh.Marshal(struct{ N, V string }{"LANG", "C.UTF-8"}), "web")
	f.Add([]byte{}, pty[9:25], []byte("\xff\xff\xff\xff"), "\x1b[2J")
	f.Fuzz(func(t *testing.T, pty, change, env []byte, name string) {
		shown := sshd.Show(pty, change, env, name)
		if len(shown) > 64<<10+8*len(name) || strings.ContainsAny(shown, "\a\b\r") {
			t.Errorf("%d bytes are shown: %q", len(shown), shown)
		}
	})
}

// Whatever is in a file of a host key, it is a key, or an error that names the file.
func FuzzHostKey(f *testing.F) {
	f.Add([]byte("rubbish"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("openssh-key-v1\x00")}))
	path := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := sshd.ReadHostKey(path)
		switch {
		case err == nil && key.PublicKey() == nil:
			t.Error("a key without its public part")
		case err != nil && !strings.Contains(err.Error(), path) && !errors.Is(err, os.ErrNotExist):
			t.Errorf("the error is %v", err)
		}
	})
}
