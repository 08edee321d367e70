package checker

import (
	"bytes"
	"fmt"
)

// complete checks that a connection did what its plan says. Server is nil if
// the user was not heard.
func (v *verifier) complete(user, server *Record) {
	if server == nil {
		if user.Mode == UserReset && user.WriteEnd == EndOwnReset {
			return // so soon that nobody has heard it
		}
		v.violation("complete", user, "user %v reached no server; it ended with %q", user.Nonce, user.ReadEnd)
		return
	}
	if user.Mode.resets() {
		v.completeReset(user, server)
		return
	}
	for _, end := range [][2]*Record{{user, server}, {server, user}} {
		to, from := end[0], end[1]
		want := int64(HeaderSize) + user.Up
		if to == user {
			want = HelloSize + payloadDown(user.Plan)
		}
		if to.ReadEnd == EndFIN && to.Received == want {
			continue
		}
		invariant := "complete"
		switch {
		case to.WriteEnd == EndFIN && from.ReadEnd == EndFIN:
			invariant = "I4" // the other direction had ended, and took this one along
		case from.WriteEnd == EndFIN && to.ReadEnd == EndStalled:
			invariant = "I4" // the end was not handed on
		}
		v.violation(invariant, user, "%s %v received %d bytes of %d, then %q; the other side sent %d, then %q",
			to.Side, user.Nonce, to.Received, want, to.ReadEnd, from.Sent, from.WriteEnd)
	}
}

func payloadDown(p Plan) int64 {
	if p.Mode.script().echo {
		return p.Up
	}
	return p.Down
}

// completeReset checks a connection that one side has reset: the other side has
// to be told so.
func (v *verifier) completeReset(user, server *Record) {
	from, to := resetEnds(user, server)
	if from.WriteEnd != EndOwnReset {
		v.violation("complete", user, "%s %v was to reset, but ended with %q and %q", from.Side, user.Nonce, from.WriteEnd, from.ReadEnd)
	}
	if to.ReadEnd != EndReset && to.WriteEnd != EndReset {
		v.violation("complete", user, "%s %v was reset, but the other side sees %q", from.Side, user.Nonce, to.ReadEnd)
	}
	if user.Mode == AnswerReset && to.Received != from.Sent {
		v.violation("complete", user, "user %v received %d bytes of an answer of %d before the reset", user.Nonce, to.Received, from.Sent)
	}
}

// searched is how far bytes may be out of place in their own stream and still
// be recognized.
const searched = 256 << 10

// whose finds out where wrong bytes are from, which helps to find the cause.
func (v *verifier) whose(rec *Record, dir direction) (invariant, text string) {
	if len(rec.Wrong) < 8 {
		return "I2", fmt.Sprintf("%x, too few to be recognized", rec.Wrong)
	}
	begin := max(0, rec.WrongAt-searched)
	own := streamAt(rec.Nonce, dir, begin, int(rec.WrongAt-begin)+searched)
	if i := bytes.Index(own, rec.Wrong); i >= 0 {
		at := begin + int64(i)
		if at > rec.WrongAt {
			return "I2", fmt.Sprintf("%d bytes are missing", at-rec.WrongAt)
		}
		return "I2", fmt.Sprintf("those of %d come a second time", at)
	}
	for _, other := range v.order {
		for _, d := range []direction{up, down} {
			if (other != v.users[rec.Nonce] || d != dir) && bytes.Equal(streamAt(other.Nonce, d, rec.WrongAt, len(rec.Wrong)), rec.Wrong) {
				return "I1", fmt.Sprintf("it belongs to user %v (direction %c)", other.Nonce, d)
			}
		}
	}
	return "I2", fmt.Sprintf("%x is of no stream at this place", rec.Wrong)
}
