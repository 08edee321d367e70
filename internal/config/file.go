// Package config reads the file that says what a process of Relay does: a relay, services to
// put online, or both. A file with faults is refused, with all of its faults at once.
//
// It knows which keys there are, where they belong, and of what type their values are. What a
// value means is for others, as it may come from a flag too.
package config

import (
	"time"
)

// File is what a file says. Pointers that are nil, texts that are empty and lists without an
// element stand for keys that are not given.
type File struct {
	StateDir       string         `toml:"stateDir" is:"path" example:"/var/lib/relay" doc:"folder for what outlives a restart: leases, keys and certificates"`
	Drain          *time.Duration `toml:"drain" example:"30s" doc:"how long connections on which bytes move may go on after SIGTERM or Ctrl-C"`
	AdminListen    string         `toml:"adminListen" example:"127.0.0.1:8081" doc:"address of the admin page and API; elsewhere than on loopback it needs adminTokenFile, and speaks TLS"`
	AdminTokenFile string         `toml:"adminTokenFile" is:"path" example:"admin.token" doc:"file with the token for adminListen"`
	MetricsTunnels *int           `toml:"metricsTunnels" example:"500" doc:"tunnels that have series of their own in /metrics; the others are summed up"`
	LogLevel       string         `toml:"logLevel" words:"debug info warn error" example:"info" doc:"least severe lines of the log"`
	LogFormat      string         `toml:"logFormat" words:"text json" example:"json" doc:"format of the log; without it that is text on a terminal, and json otherwise"`

	Server   *Server   `toml:"server" doc:"this process is a relay"`
	Relay    *Relay    `toml:"relay" doc:"the relay that the services of this process use"`
	Services []Service `toml:"services" doc:"what this process puts online: a table for each service, under its name"`

	// Path is that of the file.
	Path string `toml:"-"`

	at map[string]Position // of the keys that are given, by their dotted names
}

// Server has the settings of a relay. Port is its argument on the command line; the others
// are its flags.
type Server struct {
	Port                   *int           `toml:"port" example:"8080" doc:"control port, which relay clients connect to"`
	Bind                   string         `toml:"bind" example:"192.0.2.1" doc:"address of the relay's ports; without it that is all, IPv4 and IPv6"`
	Ports                  string         `toml:"ports" example:"20000-29999" doc:"public ports that the relay opens"`
	Tokens                 string         `toml:"tokens" is:"path" example:"tokens" doc:"file that says who may use the relay; without one anybody may"`
	TrustedProxies         []string       `toml:"trustedProxies" example:"10.0.0.0/8" doc:"networks of load balancers before the public ports, whose PROXY headers say who the user is"`
	ControlProxies         []string       `toml:"controlProxies" example:"10.0.0.0/8" doc:"networks of load balancers before the control port, whose PROXY headers say who the relay client is"`
	SSHListen              string         `toml:"sshListen" example:":2222" doc:"where SSH clients put servers online too, with ssh -R; with it the control port takes them as well"`
	SSHClientCA            string         `toml:"sshClientCa" is:"path" example:"ssh_ca.pub" doc:"file with authorities of SSH: an SSH client with a certificate from one needs no token, and others need one"`
	Lease                  *time.Duration `toml:"lease" example:"5m" doc:"how long a public port is kept while its owner is away"`
	TokenLease             *time.Duration `toml:"tokenLease" example:"24h" doc:"the same, for an owner with a token or a certificate"`
	UpgradeDrain           *time.Duration `toml:"upgradeDrain" example:"24h" doc:"how long an old process may go on with its users after relay upgrade; 0s is for as long as it takes"`
	Probe                  *time.Duration `toml:"probe" example:"15s" doc:"how often the relay asks each forwarder whether its server accepts connections; 0s is never"`
	TLSCert                string         `toml:"tlsCert" is:"path" example:"relay.crt" doc:"file with the relay's certificate, and its chain; without one the relay makes its own"`
	TLSKey                 string         `toml:"tlsKey" is:"path" example:"relay.key" doc:"file with the key of tlsCert"`
	ACMEDomain             string         `toml:"acmeDomain" instead:"tlsCert" example:"relay.example.com" doc:"name of the relay, for which it gets a certificate from Let's Encrypt, whose terms this accepts"`
	ACMEEmail              string         `toml:"acmeEmail" instead:"tlsCert" example:"admin@example.com" doc:"where Let's Encrypt writes to if something is wrong"`
	ACMEDirectory          string         `toml:"acmeDirectory" instead:"tlsCert" example:"https://ca.example.com/directory" doc:"URL of another authority than Let's Encrypt"`
	RequireTLS             *bool          `toml:"requireTls" example:"true" doc:"admit no relay client that does not encrypt"`
	TLSClientCA            string         `toml:"tlsClientCa" is:"path" example:"clients.crt" doc:"file with authorities: a relay client with a certificate from one needs no token, and others need one"`
	MaxUsers               *int           `toml:"maxUsers" example:"10000" doc:"users of the relay at a time; 0 is what descriptors allow"`
	MaxUsersPerSource      *int           `toml:"maxUsersPerSource" example:"256" doc:"users of one tunnel from one address at a time; 0 is no limit"`
	MaxUsersPerSecond      *int           `toml:"maxUsersPerSecond" example:"100" doc:"new users of one tunnel from one address; 0 is no limit"`
	MaxTunnelsPerSource    *int           `toml:"maxTunnelsPerSource" example:"100" doc:"tunnels of relay clients without a token from one address; 0 is no limit"`
	MaxTunnelsPerNetwork   *int           `toml:"maxTunnelsPerNetwork" example:"1000" doc:"the same from one /24 of IPv4 or /48 of IPv6; 0 is no limit"`
	MaxHandshakes          *int           `toml:"maxHandshakes" example:"256" doc:"connections that have not sent their request yet; 0 is no limit"`
	MaxHandshakesPerSource *int           `toml:"maxHandshakesPerSource" example:"64" doc:"the same from one address; 0 is no limit"`
	UserWait               *time.Duration `toml:"userWait" example:"10s" doc:"how long a user waits for the relay client"`
	HandshakeTimeout       *time.Duration `toml:"handshakeTimeout" example:"5s" doc:"how long a connection may take to send its request"`
}

// Relay says which relay services use, and how.
type Relay struct {
	Address       string   `toml:"address" example:"relay.example.com:8080" doc:"host and control port of the relay"`
	Token         string   `toml:"token" instead:"tokenFile" example:"relay_..." doc:"the token itself, in a file that nobody else may read; tokenFile keeps it apart"`
	TokenFile     string   `toml:"tokenFile" is:"path" example:"relay.token" doc:"file with the token, for a relay that asks for one"`
	TLS           *bool    `toml:"tls" example:"true" doc:"encrypt what goes to the relay; the system has to trust its certificate, unless tlsCa or tlsPin is given too"`
	TLSCA         string   `toml:"tlsCa" is:"path" example:"ca.crt" doc:"encrypt, and trust the authorities in this file and no others"`
	TLSPin        []string `toml:"tlsPin" example:"sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" doc:"encrypt, and trust the relay that has one of these keys; with tlsCa both are checked"`
	TLSServerName string   `toml:"tlsServerName" example:"relay.example.com" doc:"name in the relay's certificate; without it that is the relay's host"`
	TLSCert       string   `toml:"tlsCert" is:"path" example:"client.crt" doc:"file with the certificate to show, and its chain"`
	TLSKey        string   `toml:"tlsKey" is:"path" example:"client.key" doc:"file with the key of tlsCert"`
	KeepTrying    *bool    `toml:"keepTrying" example:"false" doc:"false ends the process when the relay refuses what it has never granted; otherwise it keeps trying"`
}

// Service is a server to put online. Two services are the same if their values are.
type Service struct {
	Name string `toml:"-"` // in the file

	Local          string       `toml:"local" is:"local" example:"localhost:22" doc:"the server to put online: host:port, a port of localhost, unix:/path, or on Linux unix:@name"`
	Port           *int         `toml:"port" example:"20022" doc:"public port to ask for; without it that is one that the relay chooses, and then the same again"`
	TunnelName     string       `toml:"name" example:"web" doc:"name of the tunnel at the relay, in logs"`
	Protocol       string       `toml:"protocol" words:"multiplex pool event" example:"multiplex" doc:"how users come from the relay"`
	Sessions       *int         `toml:"sessions" example:"4" doc:"connections to the relay that users are spread over, with the protocol multiplex"`
	PoolSize       *int         `toml:"poolSize" example:"16" doc:"connections that wait for users at the relay, with the protocol pool"`
	ProxyProtocol  string       `toml:"proxyProtocol" words:"v1 v2" example:"v2" doc:"send the local server each user's address in a PROXY protocol header"`
	Allow          []string     `toml:"allow" example:"192.0.2.0/24" doc:"networks that users may come from; without any, all"`
	Deny           []string     `toml:"deny" example:"192.0.2.0/24" doc:"networks that users may not come from"`
	Users          *int         `toml:"users" example:"100" doc:"users at a time"`
	UsersPerSecond *int         `toml:"usersPerSecond" example:"10" doc:"new users from one address"`
	BytesPerSecond string       `toml:"bytesPerSecond" example:"10MB" doc:"bytes through the tunnel, both ways added up"`
	Probe          string       `toml:"probe" words:"local session off" example:"local" doc:"how to find out what the relay asks: by connecting to the local server, without that, or not at all"`
	Token          string       `toml:"token" instead:"tokenFile" example:"relay_..." doc:"the token itself, in a file that nobody else may read, instead of that of [relay]"`
	TokenFile      string       `toml:"tokenFile" is:"path" example:"web.token" doc:"file with the token, instead of that of [relay]"`
	HealthCheck    *HealthCheck `toml:"healthCheck" example:"tcp" doc:"how to find out whether the local server works: tcp, http:/path, or a table with http, status and interval"`
	Group          string       `toml:"group" example:"web" doc:"share the public port with the other forwarders of this group that have the same token"`
	Balance        string       `toml:"balance" words:"least roundRobin source" example:"least" doc:"how users are spread over the group: where the fewest are, in turns, or by their address"`
}

// HealthCheck says how to find out whether a local server works.
type HealthCheck struct {
	HTTP     string         `toml:"http" example:"/healthz" doc:"path to ask for over HTTP; without it a connection is enough"`
	Status   *int           `toml:"status" example:"200" doc:"status that the answer has to have; without it that is any from 200 to 299"`
	Interval *time.Duration `toml:"interval" example:"5s" doc:"how often to look"`
}

// Position is where something is in a file. Lines and columns begin with 1; columns count
// characters.
type Position struct{ Line, Column int }

// At returns where a key is, by its dotted name such as services.web.port, or where its table
// begins.
func (f *File) At(key string) Position { return f.at[key] }
