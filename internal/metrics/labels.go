package metrics

import (
	"slices"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/wire"
)

// What follows are the values of labels that are shown as 0 before the first event, and
// counted without a look-up of the labels. Others come with their first event.

// identityEnds are why an identity no longer holds, and with it tunnels, users and leases.
var identityEnds = []observe.Reason{
	observe.TokenRevoked, observe.TokenExpired, observe.TokenReplaced, observe.TokenChanged,
	observe.CertificateExpired, observe.TokensDisabled, observe.CertificatesDisabled, observe.SettingsChanged,
	observe.PortForbidden, observe.PortTaken,
}

// operatorEnds are why the operator ends users.
var operatorEnds = []observe.Reason{observe.EndedByOperator, observe.ClosedByOperator, observe.BannedByOperator}

var tunnelEnds = slices.Concat([]observe.Reason{
	observe.Draining, observe.RelayClientShutdown, observe.RelayClientLost, observe.RegisteredAnew, observe.TakenOver, observe.Upgraded,
	observe.AnswerFailed, observe.LeaseExpired, observe.LeaseMoved, observe.LeaseKeyChanged, observe.LeaseEvicted,
	observe.ClosedByOperator, observe.BannedByOperator, observe.Panic, observe.Other,
}, identityEnds)

var leaseEnds = slices.Concat([]observe.Reason{
	observe.LeaseExpired, observe.LeaseMoved, observe.LeaseKeyChanged, observe.LeaseEvicted, observe.AnswerFailed,
	observe.ClosedByOperator,
}, identityEnds)

var relayResets = slices.Concat([]observe.Reason{
	observe.LimitMet, observe.AddressDenied, observe.WaitTimeout, observe.LocalServerIsDown, observe.NotAcknowledged, observe.NoStream,
	observe.TooManyWaiting, observe.UserGone, observe.NoProxyHeader,
	observe.Paused,
}, tunnelEnds)

var forwarderResets = []observe.Reason{observe.DialFailed, observe.HeaderFailed, observe.Paused}

// probed are the states that probes show.
var probed = []observe.State{
	observe.Up, observe.LocalServerDown, observe.Silent, observe.Unreachable, observe.Away, observe.Unknown,
}

var handshakeEnds = []observe.Reason{observe.HandshakeTimeout, observe.HandshakeEnded, observe.NotARequest}

var proxyFailures = []observe.Reason{observe.NoProxyHeader, observe.HandshakeTimeout, observe.HandshakeEnded}

var claimRefusals = []string{
	string(observe.UnknownID), string(observe.LateClaim), string(observe.NoClaims), string(observe.TooManyWaiting),
	string(observe.RelayClientLost), string(observe.Other),
}

var refusals = []string{
	wire.CodeNoPort, wire.CodeNotOpen, wire.CodeInUse, wire.CodeDraining, wire.CodeUnknownOption, wire.CodeLimit, wire.CodeBadOption,
	wire.CodeUnauthorized, wire.CodeExpired, wire.CodeForbidden, wire.CodePortTaken, wire.CodeNameTaken, wire.CodeSuperseded,
	wire.CodeShutOut, wire.CodeGroupDiffers, string(observe.Other),
}

var userLimits = []admission.Kind{
	admission.Users, admission.Descriptors, admission.UsersPerSource, admission.UsersPerSecond,
	admission.UsersOfTunnel, admission.UsersPerSecondOfTunnel,
}

var handshakeLimits = []admission.Kind{admission.Handshakes, admission.HandshakesPerSource}

var protocols = []string{"multiplex", "pool", "event", "ssh"}

// outcomesOf returns the ways in which a connection ends at self, where peer is the other
// one of relay and relay client.
func outcomesOf(self, peer observe.Party) []outcome {
	all := []outcome{{peer, observe.Lost}, {self, observe.Drain}, {self, observe.ByPanic}}
	for _, by := range []observe.Party{observe.ByUser, observe.ByServer} {
		for _, how := range []observe.How{observe.Fin, observe.Reset, observe.Lost, observe.HalfCloseTimeout} {
			all = append(all, outcome{by, how})
		}
	}
	for _, reason := range operatorEnds {
		all = append(all, outcome{self, observe.How(reason)})
	}
	return all
}

func relayOutcomes() []outcome {
	all := outcomesOf(observe.ByRelay, observe.ByRelayClient)
	for _, reason := range identityEnds {
		all = append(all, outcome{observe.ByRelay, observe.How(reason)})
	}
	return all
}

func forwarderOutcomes() []outcome { return outcomesOf(observe.ByRelayClient, observe.ByRelay) }
