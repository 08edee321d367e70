package checker

import (
	"fmt"
	"slices"
)

// Mode is what a user and the server do with a connection. Where they pause or
// take their time, it is [Plan.Linger] in all.
type Mode uint8

// The modes. Zero is none of them.
const (
	Echo            Mode = iota + 1 // the server sends back what comes; both end
	Upload                          // the user sends and ends, then the server does
	Download                        // the server sends, slowly, and ends, then the user does
	Both                            // both send at once, and end
	HalfClose                       // the user sends and ends; then the server sends, slowly
	ServerHalfClose                 // the server sends and ends; then the user sends, slowly
	ServerFirst                     // the user says nothing before the server's hello, and after a pause
	UserReset                       // the user resets after its bytes
	ServerReset                     // the server resets after its bytes, delivered or not
	AnswerReset                     // the server answers the user's bytes, and resets once that is acknowledged
	Idle                            // Echo with a pause in the middle
	Trickle                         // Echo, one byte to each write, slowly
	SlowRead                        // Download by a user who reads slowly
)

var modeNames = []string{
	Echo: "echo", Upload: "upload", Download: "download", Both: "both",
	HalfClose: "half-close", ServerHalfClose: "server-half-close", ServerFirst: "server-first",
	UserReset: "user-reset", ServerReset: "server-reset", AnswerReset: "answer-reset",
	Idle: "idle", Trickle: "trickle", SlowRead: "slow-read",
}

// Modes gives all modes.
func Modes() []Mode {
	var all []Mode
	for m := Echo; m <= SlowRead; m++ {
		all = append(all, m)
	}
	return all
}

// ParseMode gives the mode of a name such as "half-close".
func ParseMode(name string) (Mode, error) {
	if i := slices.Index(modeNames, name); i > 0 {
		return Mode(i), nil
	}
	return 0, fmt.Errorf("checker: there is no mode %q; there are %q", name, modeNames[1:])
}

func (m Mode) String() string {
	if m == 0 || int(m) >= len(modeNames) {
		return fmt.Sprintf("mode %d", uint8(m))
	}
	return modeNames[m]
}

// MarshalText gives the name; that of 0, for a connection that never said its
// mode, is empty.
func (m Mode) MarshalText() ([]byte, error) {
	if m == 0 {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (m *Mode) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*m = 0
		return nil
	}
	*m, err = ParseMode(string(text))
	return err
}

// moment is when a side begins to send its payload.
type moment uint8

const (
	atOnce moment = iota
	afterHello
	afterAll // of the payload that it is to receive
	afterEnd // of what it receives
)

// ending is what a side does after its payload.
type ending uint8

const (
	finish     ending = iota // FIN
	await                    // nothing before the other side has ended, and then FIN
	reset                    // RST
	resetAcked               // RST when the peer's kernel has all of it
)

// part is what one side of a connection does. It receives all the time.
type part struct {
	begins moment
	ends   ending
	pause  bool // half-way
	bytes  bool // one to each write
	slow   bool // in sending
	sips   bool // slow in receiving
}

// script is a mode, spelled out.
type script struct {
	user, server part
	echo         bool // the server sends back what it receives, and has no payload of its own
	prompt       bool // the server's first byte does not wait for the user's last
}

func (m Mode) script() script {
	switch m {
	case Echo:
		return script{echo: true, prompt: true}
	case Upload, HalfClose:
		return script{server: part{begins: afterEnd, slow: true}}
	case Download:
		return script{user: part{begins: afterEnd}, server: part{slow: true}, prompt: true}
	case ServerHalfClose:
		return script{user: part{begins: afterEnd, slow: true}, prompt: true}
	case Both:
		return script{prompt: true}
	case ServerFirst:
		return script{user: part{begins: afterHello}, prompt: true}
	case UserReset:
		return script{user: part{ends: reset}, server: part{ends: await}, prompt: true}
	case ServerReset:
		return script{user: part{ends: await}, server: part{ends: reset}, prompt: true}
	case AnswerReset:
		return script{user: part{ends: await}, server: part{begins: afterAll, ends: resetAcked}}
	case Idle:
		return script{user: part{pause: true}, echo: true, prompt: true}
	case Trickle:
		return script{user: part{bytes: true, slow: true}, echo: true, prompt: true}
	case SlowRead:
		return script{user: part{begins: afterEnd, sips: true}, prompt: true}
	}
	return script{}
}

// resets reports whether a connection of this mode ends by a reset on purpose.
func (m Mode) resets() bool { return m == UserReset || m == ServerReset || m == AnswerReset }

// up and down report which sides have payload in this mode.
func (m Mode) up() bool { return m != Download && m != SlowRead }

func (m Mode) down() bool { return m != Upload && !m.script().echo }
