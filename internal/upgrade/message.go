package upgrade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"time"
)

// Version is that of the messages. A process that speaks another one is refused before
// anything is handed over: both sides say theirs first.
const Version = 1

// Kind says what a message is.
type Kind string

// The messages of a handover. The old process is called predecessor and the new one heir.
const (
	// Hello is the heir's first message: it has checked all that it can, and asks for what
	// the predecessor has.
	Hello Kind = "hello"
	// Failed says why one of the two gives up.
	Failed Kind = "failed"
	// Listener, with a descriptor, and those behind it are the estate: one message for each
	// thing, and Complete at the end.
	Listener   Kind = "listener"
	Port       Kind = "port"       // perhaps with one
	Fencing    Kind = "fence"      // of the port before it, one for each relay client that is known there
	Quarantine Kind = "quarantine" // of a port
	Ban        Kind = "ban"
	Older      Kind = "older" // the link to a predecessor of the predecessor, with a descriptor
	Complete   Kind = "complete"
	// Ready says that the heir serves as soon as it is told to.
	Ready Kind = "ready"
	// Committed says that the heir is the one who serves from now on.
	Committed Kind = "committed"
)

// The messages after it, to a predecessor.
const (
	Served Kind = "served" // the heir has a tunnel at a port
	Ask    Kind = "ask"    // whether an id is known
	Claim  Kind = "claim"  // a connection for an id that is known, with a descriptor
)

// The messages after it, from a predecessor.
const (
	Left    Kind = "left"    // nobody serves a port any more
	Known   Kind = "known"   // the answer to Ask
	User    Kind = "user"    // one who waits at a port, with a descriptor
	Control Kind = "control" // a connection to the control port, with a descriptor
)

// withFD are the kinds of messages with a descriptor: always, or perhaps.
var withFD = map[Kind]bool{Listener: true, Older: true, Claim: true, User: true, Control: true, Port: false}

// Message is what one process says to the other. Which fields it has depends on the kind.
type Message struct {
	Kind    Kind `json:"kind"`
	Version int  `json:"version,omitempty"` // of Hello
	PID     int  `json:"pid,omitempty"`     // of Hello, and of Older
	// Name is that of a listener, or the address at which the heir wants to listen (Hello).
	Name string `json:"name,omitempty"`
	Text string `json:"text,omitempty"` // of Failed, for people

	Port int `json:"port,omitempty"`
	// Holder is who serves a port: 0 the predecessor itself, n the n-th Older, -1 nobody.
	Holder int       `json:"holder,omitempty"`
	Owner  string    `json:"owner,omitempty"` // of a port, or of an id
	Lease  *Lease    `json:"lease,omitempty"` // of a port, or nil
	Fence  *Fence    `json:"fence,omitempty"` // of Fencing
	Paused bool      `json:"paused,omitempty"`
	Until  time.Time `json:"until,omitzero"` // of Quarantine and Ban

	Source   netip.Prefix `json:"source,omitzero"`    // of Ban
	Instance string       `json:"instance,omitempty"` // of Served

	Seq  uint64 `json:"seq,omitempty"`  // of Ask, and of its answer
	Verb string `json:"verb,omitempty"` // of Ask and Claim
	Key  []byte `json:"key,omitempty"`  // of Ask
	ID   string `json:"id,omitempty"`   // of Claim
	Yes  bool   `json:"yes,omitempty"`  // of Known

	// Remote and Local are the ends of a connection as a load balancer has named them.
	Remote netip.AddrPort `json:"remote,omitzero"`
	Local  netip.AddrPort `json:"local,omitzero"`
	Read   []byte         `json:"read,omitempty"` // what has been read of a connection
}

// Lease is a lease as one process hands it to the next.
type Lease struct {
	Key       []byte    `json:"key"`
	Name      string    `json:"name,omitempty"`
	Identity  string    `json:"identity,omitempty"`
	Group     string    `json:"group,omitempty"`
	Until     time.Time `json:"until,omitzero"`
	Before    []Place   `json:"before,omitempty"`
	Ephemeral bool      `json:"ephemeral,omitempty"`
}

// Fence is what a lease knows of one relay client that serves it, or has served it.
type Fence struct {
	Key        []byte   `json:"key"`
	Served     bool     `json:"served,omitempty"`
	Instance   string   `json:"instance,omitempty"`
	Superseded []string `json:"superseded,omitempty"`
}

// Place is a port that a lease has a right to.
type Place struct {
	Port  int       `json:"port"`
	Until time.Time `json:"until,omitzero"`
}

// maxMessage bounds a message. The largest is a fence with 17 instances of 512 bytes, or a
// request with all its options.
const maxMessage = 64 << 10

// ErrLost is the error of a message whose descriptor has not come. Those after it come.
var ErrLost = errors.New("this process has as many descriptors open as it may")

// Errors of a message.
var (
	errTooLarge = errors.New("the message is too large")
	errNoSense  = errors.New("the message makes no sense")
)

// encode returns a message as it is sent.
func encode(m Message) ([]byte, error) {
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxMessage {
		err = errTooLarge
	}
	return b, err
}

// decode reads a message.
func decode(b []byte) (m Message, err error) {
	if len(b) > maxMessage {
		return Message{}, errTooLarge
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", errNoSense, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Message{}, errNoSense
	}
	if m.Kind == "" || m.Port < 0 || m.Port > math.MaxUint16 {
		return Message{}, errNoSense
	}
	return m, nil
}

// needsFD reports whether a message comes with a descriptor, and whether it may.
func (m Message) needsFD() (always, may bool) {
	always, may = withFD[m.Kind]
	return always, may
}
