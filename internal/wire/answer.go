package wire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/seed96252745/relay/internal/port"
)

// Refusal is the relay's answer to a registration that it does not accept. It is an
// error, so that it can be returned as one.
type Refusal struct {
	Code string // one word, for programs
	Text string // the rest of the line, for people
}

func (r *Refusal) Error() string {
	if r.Text == "" {
		return "refused by the relay: " + r.Code
	}
	return fmt.Sprintf("refused by the relay: %s (%s)", r.Text, r.Code)
}

// WriteRefusal writes a refusal as a line.
func WriteRefusal(w io.Writer, r *Refusal) error {
	_, err := fmt.Fprintf(w, "-%s %s\n", r.Code, r.Text)
	return err
}

// Answer is the relay's answer to a registration that it accepts.
type Answer struct {
	Port int // public
	// Lease is for how long the port is kept while nobody serves it, in whole seconds;
	// zero if it is not kept.
	Lease time.Duration
	// Sessions is how many sessions the tunnel may have, and Session the id with which
	// further ones come. Without an id the tunnel has one.
	Sessions int
	Session  string
}

// options returns the option lines before the port.
func (a Answer) options() (lines string) {
	if a.Lease > 0 {
		lines += fmt.Sprintf("+%s %d\n", OptionLease, int64(a.Lease/time.Second))
	}
	if a.Sessions > 0 {
		lines += fmt.Sprintf("+%s %d\n", OptionSessions, a.Sessions)
	}
	if a.Session != "" {
		lines += fmt.Sprintf("+%s %s\n", OptionSession, a.Session)
	}
	return lines
}

// readOption reads the value of one option, if it is known.
func (a *Answer) readOption(key, value string) error {
	var number uint64
	var err error
	switch key {
	case OptionLease:
		number, err = strconv.ParseUint(value, 10, 31)
		a.Lease = time.Duration(number) * time.Second
		if err != nil {
			return &OptionError{key, "want a number of seconds"}
		}
	case OptionSessions:
		number, err = strconv.ParseUint(value, 10, 31)
		a.Sessions = int(number) //nolint:gosec // has 31 bits
		if err != nil || number == 0 {
			return &OptionError{key, "want a number of sessions"}
		}
	case OptionSession:
		a.Session = value
		if value == "" || len(value) > maxID || strings.Contains(value, " ") {
			return &OptionError{key, "want an id"}
		}
	}
	return nil
}

// ReadAnswer reads the relay's answer to a registration, up to the line with the port.
// It returns a refusal as a *Refusal, and what a relay would never send as a
// *NotRelayError. It ignores options that it does not know: a relay may send more than
// it is asked for.
func ReadAnswer(r io.ByteReader) (Answer, error) {
	var a Answer
	for range maxOptions + 1 {
		line, err := readLine(r, maxText, space)
		if err != nil {
			return Answer{}, noEOF(err)
		}
		option, ok := strings.CutPrefix(line, "+")
		if !ok {
			a.Port, err = parsePortLine(line)
			return a, err
		}
		key, value, _ := strings.Cut(option, " ")
		if err := a.readOption(key, value); err != nil {
			return Answer{}, err
		}
	}
	return Answer{}, ErrTooManyOptions
}

// WriteAnswer writes the answer to a registration, and the id of the pool if there is
// one.
func WriteAnswer(w io.Writer, a Answer, id string) error {
	answer := a.options() + strconv.Itoa(a.Port) + "\n"
	if id != "" {
		answer += id + "\n"
	}
	_, err := io.WriteString(w, answer)
	return err
}

// NotRelayError is the error of a peer that answers a registration with something that
// a relay would never send.
type NotRelayError struct{ Sent string }

func (e *NotRelayError) Error() string {
	return fmt.Sprintf("this is not a relay: it sent %.40q instead of a port; check the relay's host and port", e.Sent)
}

// parsePortLine parses the last line of an answer, which has the port or a refusal. A
// refusal is returned as a *Refusal. Errors of other protocols may also begin with a
// dash: a line without a code is not a refusal.
func parsePortLine(line string) (int, error) {
	if refusal, ok := strings.CutPrefix(line, "-"); ok {
		if code, text, _ := strings.Cut(refusal, " "); isCode(code) {
			return 0, &Refusal{Code: code, Text: text}
		}
	}
	port, err := parsePort(line)
	if err != nil {
		return 0, &NotRelayError{Sent: line}
	}
	return port, nil
}

// isCode reports whether word can be the code of a refusal.
func isCode(word string) bool {
	return word != "" && !strings.ContainsFunc(word, notInWord)
}

// notInWord reports whether r occurs in no code and in no key of an option.
func notInWord(r rune) bool { return (r < 'a' || r > 'z') && r != '-' }

// isKnownCode reports whether code is one of the protocol's.
func isKnownCode(code string) bool {
	switch code {
	case CodeNoPort, CodeDraining, CodeUnknownOption, CodeLimit, CodeBadOption, CodeUnauthorized,
		CodeExpired, CodeForbidden, CodePortTaken, CodeNameTaken, CodeSuperseded, CodeShutOut, CodeNotOpen, CodeInUse, CodeGroupDiffers:
		return true
	}
	return false
}

func parsePort(text string) (int, error) {
	number, err := port.Parse(text)
	if err != nil || text[0] == '0' {
		return 0, errNoPort
	}
	return number, nil
}

var errNoPort = errors.New("not a port")
