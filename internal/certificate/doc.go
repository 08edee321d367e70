// Package certificate identifies the relay, and its clients, by certificates: it gets
// them, and has the other side verify them.
//
// A relay has its certificate from files that somebody else renews ([FromFiles]), or
// makes one itself when it starts for the first time ([SelfSigned]). Package acme below
// gets one from a certificate authority over the network; it is a package of its own
// since it brings much code. [ServerConfig] makes the relay's TLS configuration from
// any of them.
//
// A relay client trusts the system's authorities, or a file of authorities, or a [Pin],
// which is a fingerprint of the relay's key. It cannot be told to trust any relay that
// answers. [ClientConfig] makes its TLS configuration.
//
// [PeerName] names the client of a relay that gives its clients certificates.
package certificate
