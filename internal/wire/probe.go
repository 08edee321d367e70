package wire

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// ProbeAnswer is what a relay client answers to a probe (docs/protocol.md, "Probes"): one
// line.
type ProbeAnswer struct {
	// Failure is why the local server does not accept, or "".
	Failure ProbeFailure
	// Took is how long the local server took to accept. Zero is a relay client that does
	// not say, or has not asked it.
	Took time.Duration
}

// ProbeFailure is why users cannot be served, although the relay client is there. Its
// values are words of the protocol.
type ProbeFailure string

// The failures.
const (
	ProbeRefused       ProbeFailure = "refused"
	ProbeTimedOut      ProbeFailure = "timed-out"
	ProbeNoRoute       ProbeFailure = "no-route"
	ProbeUnknownHost   ProbeFailure = "unknown-host"
	ProbeNoDescriptors ProbeFailure = "no-descriptors"
	ProbeNotAccepted   ProbeFailure = "not-accepted"
	ProbePaused        ProbeFailure = "paused"
	ProbeUnhealthy     ProbeFailure = "unhealthy"
	ProbeOther         ProbeFailure = "other"
)

// String returns the failure as people know it, in words of this package alone: what a
// relay client has sent is not shown.
func (f ProbeFailure) String() string {
	switch f {
	case ProbeRefused:
		return "connection refused"
	case ProbeTimedOut:
		return "connection timed out"
	case ProbeNoRoute:
		return "no route to host"
	case ProbeUnknownHost:
		return "host not found"
	case ProbeNoDescriptors:
		return "too many open files at the relay client"
	case ProbeNotAccepted:
		return "the program does not accept connections"
	case ProbePaused:
		return "users are paused at the relay client"
	case ProbeUnhealthy:
		return "its health check fails"
	}
	return "the relay client cannot connect to it"
}

// Bounds of an answer.
const (
	maxProbeAnswer = 64                   // bytes, without the line end
	maxProbeTook   = int64(1_000_000_000) // microseconds: longer than any relay waits
)

const (
	probeOK     = "ok"
	probeFailed = "failed"
)

var errProbeAnswer = errors.New("it is no answer to a probe")

// WriteTo writes the answer, in one write.
func (a ProbeAnswer) WriteTo(w io.Writer) (int64, error) {
	line := probeOK
	switch took := a.Took.Microseconds(); {
	case a.Failure != "":
		line = probeFailed + " " + string(a.Failure)
	case a.Took > 0:
		line += " " + strconv.FormatInt(min(max(took, 1), maxProbeTook), 10)
	}
	n, err := io.WriteString(w, line+"\n")
	return int64(n), err
}

// ReadProbeAnswer reads an answer, and no byte beyond it. A failure that this version does
// not know is ProbeOther.
func ReadProbeAnswer(r io.ByteReader) (ProbeAnswer, error) {
	line, err := readLine(r, maxProbeAnswer, space)
	if err != nil {
		return ProbeAnswer{}, noEOF(err)
	}
	word, value, more := strings.Cut(line, " ")
	switch {
	case word == probeOK && !more:
		return ProbeAnswer{}, nil
	case word == probeOK:
		return parseTook(value)
	case word == probeFailed && isCode(value):
		return ProbeAnswer{Failure: knownFailure(ProbeFailure(value))}, nil
	}
	return ProbeAnswer{}, errProbeAnswer
}

// parseTook parses a number of microseconds without leading zeros.
func parseTook(text string) (ProbeAnswer, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > maxProbeTook || strconv.FormatInt(n, 10) != text {
		return ProbeAnswer{}, errProbeAnswer
	}
	return ProbeAnswer{Took: time.Duration(n) * time.Microsecond}, nil
}

func knownFailure(f ProbeFailure) ProbeFailure {
	switch f {
	case ProbeRefused, ProbeTimedOut, ProbeNoRoute, ProbeUnknownHost, ProbeNoDescriptors, ProbeNotAccepted, ProbePaused, ProbeUnhealthy:
		return f
	}
	return ProbeOther
}
