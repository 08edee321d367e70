// Package certificate says who the relay is, and who its clients are, with
// certificates: where they come from, and how the other side makes sure of them.
//
// A relay has its certificate from files that somebody else renews ([FromFiles]),
// or makes itself one when it starts for the first time ([SelfSigned]). A third
// way, a certificate authority that is asked over the network, is in package acme
// below, since it takes much code. [ServerConfig] makes the relay's settings of
// any of them.
//
// A relay client trusts whom its system trusts, or a file of authorities, or a
// [Pin], which is a fingerprint of the relay's key. There is no way to trust
// whoever answers. [ClientConfig] makes its settings.
//
// A relay that gives its clients certificates of their own knows them by
// [PeerName].
package certificate
