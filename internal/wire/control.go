package wire

import "strings"

// OptionControl's values (docs/protocol.md, "Control").
const (
	controlV1   = "v1"
	controlDown = "v1-down"
)

// Control is what a relay client says of its control channel when it registers.
type Control uint8

// The zero value is a relay client without a control channel.
const (
	// ControlUp is one whose tunnel is given users at once.
	ControlUp Control = 1 + iota
	// ControlDown is one whose tunnel is given no users before it has said on the channel
	// that it is up.
	ControlDown
)

func (c Control) value() string {
	if c == ControlDown {
		return controlDown
	}
	return controlV1
}

func parseControl(p *Preamble, value string) string {
	switch value {
	case controlV1:
		p.Control = ControlUp
	case controlDown:
		p.Control = ControlDown
	default:
		return wanted(false, controlV1+" or "+controlDown)
	}
	return ""
}

// maxControlLine bounds a line of a control channel, in bytes without the line end.
const maxControlLine = 64

// ControlReader finds the lines in what comes on a control channel, however it is cut. The
// zero value is ready, and holds nothing between two lines.
type ControlReader struct{ line []byte }

// Feed calls each with every line that b completes. It returns ErrTooLong or ErrBadByte at
// the first byte that has no place in a line; the channel is of no use then.
func (r *ControlReader) Feed(b []byte, each func(line string)) error {
	for _, c := range b {
		returned := len(r.line) > 0 && r.line[len(r.line)-1] == '\r'
		switch {
		case c == '\n':
			line := strings.TrimSuffix(string(r.line), "\r")
			r.line = nil
			each(line)
			continue
		case returned || c != '\r' && (c < space || c > '~'):
			return ErrBadByte
		case len(r.line) == maxControlLine && c != '\r':
			return ErrTooLong
		}
		r.line = append(r.line, c)
	}
	return nil
}

// The words of the lines.
const (
	wordMove  = "move"
	wordUp    = "up"
	wordDown  = "down"
	wordLeave = "leave"
	wordLeft  = "left"
)

// MoveLine has a relay client register anew: another process answers at this address.
const MoveLine = wordMove + "\n"

// IsMove reports whether a line is MoveLine.
func IsMove(line string) bool { return line == wordMove }

// LeaveLine is what a relay client says that is about to end, and wants no more users.
const LeaveLine = wordLeave + "\n"

// IsLeave reports whether a line is LeaveLine.
func IsLeave(line string) bool { return line == wordLeave }

// LeftLine is the relay's answer to LeaveLine: all users that it has for the relay client are
// on their way.
const LeftLine = wordLeft + "\n"

// IsLeft reports whether a line is LeftLine.
func IsLeft(line string) bool { return line == wordLeft }

// ServingLine is what a relay client says when its local server has come, with no failure,
// or gone.
func ServingLine(failure ProbeFailure) string {
	if failure == "" {
		return wordUp + "\n"
	}
	return wordDown + " " + string(failure) + "\n"
}

// ParseServing parses what ServingLine has made. A failure that this version does not know
// is ProbeOther. Known is false if the line is another one.
func ParseServing(line string) (failure ProbeFailure, known bool) {
	word, value, _ := strings.Cut(line, " ")
	switch {
	case line == wordUp:
		return "", true
	case word == wordDown && isCode(value):
		return knownFailure(ProbeFailure(value)), true
	}
	return "", false
}
