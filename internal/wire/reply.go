package wire

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Refusal is the relay's answer to a registration that it does not accept. It
// is an error, so that it can travel as one.
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

// WriteReply writes the answer to a registration: the port, and the id of the
// pool where there is one.
func WriteReply(w io.Writer, port int, id string) error {
	reply := strconv.Itoa(port) + "\n"
	if id != "" {
		reply += id + "\n"
	}
	_, err := io.WriteString(w, reply)
	return err
}

// ReadPort reads the first line of the relay's answer to a registration. A
// refusal is returned as a *Refusal.
func ReadPort(r io.ByteReader) (int, error) {
	line, err := readLine(r, maxText, space)
	if err != nil {
		return 0, noEOF(err)
	}
	if refusal, ok := strings.CutPrefix(line, "-"); ok {
		code, text, _ := strings.Cut(refusal, " ")
		return 0, &Refusal{Code: code, Text: text}
	}
	port, err := strconv.ParseUint(line, 10, 16)
	if err != nil || port == 0 || line[0] == '0' {
		return 0, fmt.Errorf("this is no relay: it sent %.40q where a port was expected", line)
	}
	return int(port), nil
}
