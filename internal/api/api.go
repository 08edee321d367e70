// Package api has what the admin API of a relay, and of a forwarder, says: the types of
// its JSON, in version 1. The handlers are package admin's. docs/admin-api.md and the
// OpenAPI document describe the paths.
//
// Names are those of the log. Times are RFC 3339 in UTC, durations are seconds, and bytes
// are counted from the start of the process. An identifier is good for as long as what it
// names, and is not used again in the life of a process.
package api

import "time"

// Kinds of a process.
const (
	Relay     = "relay"
	Forwarder = "forwarder"
)

// State is how a tunnel does.
type State string

// The states of a tunnel. A relay that has not been told how the local server does says
// Unknown, and never Up.
const (
	Up              State = "up"                       // the last probe has reached the local server
	LocalServerDown State = "local_server_down"        // the last probe has not
	Silent          State = "relay_client_silent"      // its machine answers, and its process does not
	Unreachable     State = "relay_client_unreachable" // nothing answers
	Away            State = "away"                     // the port is leased, and no relay client serves it
	Paused          State = "paused"                   // by the operator: users are refused
	Unknown         State = "unknown"                  // the relay client cannot answer probes, or has not yet
	Connecting      State = "connecting"
)

// Status is how a relay or a forwarder does.
type Status struct {
	Kind    string    `json:"kind"` // Relay or Forwarder
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Draining reports that no new user is taken.
	Draining bool `json:"draining"`
	// Successor is the ID of the process that has taken over from this one, or 0.
	Successor int `json:"successor,omitempty"`
	// Control is where relay clients connect, or the relay that a forwarder uses.
	Control string `json:"control"`
	// Ports are the public ports of a relay, such as 20000-29999.
	Ports string `json:"ports,omitempty"`
	// Open reports that a relay lets in everybody.
	Open bool `json:"open,omitempty"`

	Tunnels int `json:"tunnels"` // that are served, or services that are registered
	Away    int `json:"away"`    // leases, or services, that are not
	Users   int `json:"users"`   // joined
	Waiting int `json:"waiting"` // users who are not joined yet

	Connections int64 `json:"connections"` // users who were joined, since the start
	Received    int64 `json:"received"`    // bytes from users
	Sent        int64 `json:"sent"`        // bytes to users

	// Connect are command lines that put a server online through this relay.
	Connect []string `json:"connect,omitempty"`

	// Config is the file that the process runs by, or nil without one.
	Config *Config `json:"config,omitempty"`

	// Problems are what is wrong. Without any the exit status of relay status is 0.
	Problems []Problem `json:"problems"`
}

// Config is the configuration file of a process.
type Config struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"`          // when its settings came into force
	Error  string    `json:"error,omitempty"` // why what the file says now is not in force
}

// Problem is something that an operator has to do something about.
type Problem struct {
	Code   string     `json:"code"`             // an identifier
	Tunnel string     `json:"tunnel,omitempty"` // its ID
	Text   string     `json:"text"`             // for people, with what it is about and what to do
	Since  *time.Time `json:"since,omitempty"`
}

// Tunnel is one public port of a relay, or one service of a forwarder.
type Tunnel struct {
	ID          string     `json:"id"`
	Public      string     `json:"public"` // the address, where it is known
	Port        int        `json:"port"`
	Service     string     `json:"service,omitempty"` // its name in the file of a forwarder
	Name        string     `json:"name,omitempty"`
	Identity    string     `json:"identity,omitempty"`
	Protocol    string     `json:"protocol,omitempty"`
	RelayClient string     `json:"relayClient,omitempty"` // its address
	Local       string     `json:"local,omitempty"`       // the local server, at a forwarder
	State       State      `json:"state"`
	Since       time.Time  `json:"since"` // the state
	Opened      *time.Time `json:"opened,omitempty"`
	Until       *time.Time `json:"until,omitempty"` // when a lease that is away ends
	Error       string     `json:"error,omitempty"` // that goes with the state

	// RoundTripSeconds is the round trip to the relay client, or 0 if it is not known.
	RoundTripSeconds float64 `json:"roundTripSeconds,omitempty"`
	// Probe is the last answer of the relay client, or nil.
	Probe *Probe `json:"probe,omitempty"`

	// Group is that of which the tunnel is, and Members its relay clients.
	Group   string   `json:"group,omitempty"`
	Members []Member `json:"members,omitempty"`

	Users       int   `json:"users"`
	Waiting     int   `json:"waiting"`
	Connections int64 `json:"connections"`
	Received    int64 `json:"received"`
	Sent        int64 `json:"sent"`
}

// Member is a relay client of a group.
type Member struct {
	Name             string    `json:"name,omitempty"` // that it has given itself
	RelayClient      string    `json:"relayClient"`    // its address
	Protocol         string    `json:"protocol"`
	State            State     `json:"state"`
	Since            time.Time `json:"since"`           // the state
	Error            string    `json:"error,omitempty"` // that goes with the state
	RoundTripSeconds float64   `json:"roundTripSeconds,omitempty"`
	Users            int       `json:"users"` // those included whose connections are yet to come
}

// Probe is the result of a probe.
type Probe struct {
	At          time.Time `json:"at"`
	OK          bool      `json:"ok"`
	TookSeconds float64   `json:"tookSeconds"`           // relay to relay client and back
	DialSeconds float64   `json:"dialSeconds,omitempty"` // of it, how long the local server took to accept
	Error       string    `json:"error,omitempty"`       // such as "connection refused"
}

// User is a user who is joined. Its ID is a u and a number, which nobody takes for a port.
type User struct {
	ID       string    `json:"id"`
	Tunnel   string    `json:"tunnel"` // its ID
	Address  string    `json:"address"`
	Since    time.Time `json:"since"`
	Received int64     `json:"received"`
	Sent     int64     `json:"sent"`
}

// Ended is a user's connection that is over: joined, or reset before that.
type Ended struct {
	At              time.Time `json:"at"`
	Tunnel          string    `json:"tunnel"` // its ID
	Port            int       `json:"port"`   // the tunnel may be gone
	Identity        string    `json:"identity,omitempty"`
	Service         string    `json:"service,omitempty"` // its name in the file of a forwarder
	Name            string    `json:"name,omitempty"`
	Address         string    `json:"address"`
	Joined          bool      `json:"joined"`
	WaitedSeconds   float64   `json:"waitedSeconds"`
	DurationSeconds float64   `json:"durationSeconds"`
	Received        int64     `json:"received"`
	Sent            int64     `json:"sent"`
	EndedBy         string    `json:"endedBy,omitempty"` // of one that was joined
	How             string    `json:"how,omitempty"`
	Reason          string    `json:"reason,omitempty"` // of one that was not
	Limit           string    `json:"limit,omitempty"`
	Error           string    `json:"error,omitempty"`
}

// Refusal is a request of a relay client that was refused, or a source that was banned.
type Refusal struct {
	At       time.Time `json:"at"`
	Event    string    `json:"event"`
	Source   string    `json:"source"`
	Identity string    `json:"identity,omitempty"`
	Code     string    `json:"code,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Limit is a limit, and what is used of it.
type Limit struct {
	Name string `json:"name"`           // as in the log: users_per_source
	Flag string `json:"flag,omitempty"` // that sets it
	Max  int64  `json:"max"`            // -1 is none
	Used int64  `json:"used"`           // -1 where it is counted for each source
	Met  int64  `json:"met"`            // how often somebody met it since the start
}

// Causes are what ended connections and requests in each of the last 60 minutes.
type Causes struct {
	Minutes []Minute `json:"minutes"` // the oldest first
}

// Minute is what happened in one minute.
type Minute struct {
	At      time.Time        `json:"at"`      // its start
	Ends    map[string]int64 `json:"ends"`    // by endedBy, a slash, and how: "user/fin"
	Resets  map[string]int64 `json:"resets"`  // of users who were not joined, by reason
	Refused map[string]int64 `json:"refused"` // requests, by code or reason
}

// Ban is a source that is shut out.
type Ban struct {
	Source string    `json:"source"` // an address, or a network
	Until  time.Time `json:"until"`
}

// Event is an event of the live stream: the fields of its line in the log.
type Event struct {
	Seq    uint64         `json:"seq"`
	At     time.Time      `json:"at"`
	Level  string         `json:"level"`
	Event  string         `json:"event"`
	Tunnel string         `json:"tunnel,omitempty"` // its ID
	Fields map[string]any `json:"fields"`
}

// Error is the body of an answer that is not a success.
type Error struct {
	Code    string `json:"code"` // an identifier: unknown_tunnel
	Message string `json:"message"`
}

// Settings are how a process was started: the flags that are given, by name. One that leads
// to something secret is "(given)".
type Settings struct {
	Flags map[string]string `json:"flags"`
}

// Upgrade is a process that has taken over from the one that was asked.
type Upgrade struct {
	PID    int `json:"pid"`    // of the new process
	OldPID int `json:"oldPid"` // of the one that was asked
	Told   int `json:"told"`   // relay clients that are told to register with the new one
	Untold int `json:"untold"` // that cannot be: they stay until they come again
	Users  int `json:"users"`  // who are joined, and stay with the old process
	// DrainSeconds is after how long the old process ends at the latest, or 0 for never.
	DrainSeconds int64 `json:"drainSeconds"`
}

// Token is a token that was made.
type Token struct {
	Name   string `json:"name"`
	Secret string `json:"secret"` // is shown this once
	Line   string `json:"line"`   // the command line that uses it
}

// NewBan is the body of POST bans.
type NewBan struct {
	Source  string `json:"source"` // an address, or a network
	Seconds int64  `json:"seconds"`
}

// NewToken is the body of POST tokens.
type NewToken struct {
	Name string `json:"name"`
}

// NewSession is the body of POST session, with which a browser logs in.
type NewSession struct {
	Token string `json:"token"`
}

// EventsDropped is the name of the event that stands in the live stream for those that its
// reader was too slow for. The field count is their number.
const EventsDropped = "events_dropped"
