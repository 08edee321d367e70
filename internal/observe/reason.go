package observe

import (
	"errors"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
)

// Reason is why something ended, or was refused.
type Reason string

// Why a tunnel or a lease ends.
const (
	Draining            Reason = "drain"
	LeaseExpired        Reason = "lease_expired"
	LeaseEvicted        Reason = "lease_evicted"
	LeaseKeyChanged     Reason = "lease_key_changed"
	LeaseMoved          Reason = "lease_moved"
	AnswerFailed        Reason = "answer_failed"
	TakenOver           Reason = "taken_over"
	RegisteredAnew      Reason = "registered_anew"
	RelayClientShutdown Reason = "relay_client_shutdown"
	RelayClientLost     Reason = "relay_client_lost"
	RelayLost           Reason = "relay_lost" // at the forwarder
	Upgraded            Reason = "upgraded"   // another process of the relay has taken over
)

// Why an identity no longer holds, and with it tunnels, users and leases.
const (
	TokenRevoked         Reason = "token_revoked"
	TokenExpired         Reason = "token_expired"
	TokenReplaced        Reason = "token_replaced"
	TokenChanged         Reason = "token_changed"
	CertificateExpired   Reason = "certificate_expired"
	TokensDisabled       Reason = "tokens_disabled"
	CertificatesDisabled Reason = "certificates_disabled"
	PortForbidden        Reason = "port_forbidden"
	SettingsChanged      Reason = "settings_changed"
	PortTaken            Reason = "port_taken"
)

// Why a user is reset before being joined.
const (
	LimitMet        Reason = "limit"
	AddressDenied   Reason = "address_denied"
	WaitTimeout     Reason = "wait_timeout"
	NotAcknowledged Reason = "not_acknowledged"
	NoStream        Reason = "no_stream"
	UserGone        Reason = "user_gone"
	DialFailed      Reason = "dial_failed"
	HeaderFailed    Reason = "header_failed"
	// LocalServerIsDown is that the relay client had said so, for as long as the user waited.
	LocalServerIsDown Reason = "local_server_down"
	Paused            Reason = "paused" // by an operator
)

// Why something ends, or is refused, because the operator wants it so.
const (
	EndedByOperator  Reason = "ended_by_operator"  // one user
	ClosedByOperator Reason = "closed_by_operator" // a tunnel, with its users
	BannedByOperator Reason = "banned_by_operator" // an address
)

// Why a connection or a request is refused.
const (
	HandshakeTimeout Reason = "handshake_timeout"
	HandshakeEnded   Reason = "handshake_ended"
	NotARequest      Reason = "not_a_request"
	NoProxyHeader    Reason = "no_proxy_header"
	UnknownID        Reason = "unknown_id"
	LateClaim        Reason = "late_claim"
	NoClaims         Reason = "no_claims"
	TooManyWaiting   Reason = "too_many_waiting"
)

// Why anything may end.
const (
	Panic Reason = "panic"
	Other Reason = "other" // the error says what
)

// reasoned is an error that has a reason.
type reasoned struct {
	error
	reason Reason
}

func (r *reasoned) Unwrap() error { return r.error }

// WithReason returns an error that wraps err, and of which [ReasonOf] gives that reason.
func WithReason(err error, reason Reason) error { return &reasoned{err, reason} }

// ReasonOf returns the reason that err stands for: "" if err is nil, and Other if it stands
// for none.
func ReasonOf(err error) Reason {
	var r *reasoned
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.reason
	case errors.As(err, new(*crash.Error)):
		return Panic
	}
	for _, known := range []struct {
		err    error
		reason Reason
	}{
		{protocol.ErrTooLong, WaitTimeout},
		{protocol.ErrNotAcknowledged, NotAcknowledged},
		{protocol.ErrNoStream, NoStream},
		{protocol.ErrFull, TooManyWaiting},
		{protocol.ErrUnknownID, UnknownID},
		{protocol.ErrNoClaims, NoClaims},
		{protocol.ErrLate, LateClaim},
		{protocol.ErrLeft, RelayClientShutdown},
		{protocol.ErrTunnelEnded, RelayClientLost},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	return Other
}
