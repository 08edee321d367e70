// Package auth decides who may do what at a relay.
//
// It works like authorized_keys: a tokens file has one line for each identity, with its
// name, the SHA-256 of its secret, and what it may do:
//
//	# comment
//	db1 sha256:<64 hex digits> ports=20000-20010,20050 tunnels=5 expires=2027-01-31
//	web sha256:<64 hex digits> users=200 usersPerSecond=50 bytesPerSecond=10MB allow=10.0.0.0/8
//
// In place of the hash, or behind it, a line may have SSH public keys, each with its kind and
// without a comment:
//
//	alice ssh-ed25519 AAAA... tunnels=5
//
// Fields are separated by spaces. Each key may be left out, and then sets no limit:
//
//	ports            public ports that it may have, and ask for; without it the
//	                 relay chooses one of its own, and none may be asked for
//	tunnels          at a time
//	users            of a tunnel, at a time
//	usersPerSecond   new users of a tunnel from one source
//	bytesPerSecond   of a tunnel: 500000, 500kB, 10MB, 1GB, or 10MiB and the like
//	allow, deny      addresses and networks that users may come from, or may not
//	expires          a day, which is over when it ends in UTC, or RFC 3339
//
// [Tokens.Identify] finds the identity of a secret. [File] keeps the tokens of a file
// that changes while the relay runs, and notifies a session whose identity no longer
// holds. A file that is missing, wrong or readable by others (see [secretfile.Check])
// is an error, and never lets everybody in; a relay that is given a file, by --tokens
// or by RELAY_TOKENS with the file's path, is closed. Secrets themselves are in no
// flag, no variable and no tokens file: [ReadSecretFile] reads the relay client's.
//
// [Authenticator] identifies a relay client by a token, a certificate, or an SSH key.
//
// This package enforces nothing: package server applies ports, and package admission
// policies. It knows no endpoint and no lease. Nor does it protect against eavesdroppers:
// anybody can use a secret that goes over a network in the clear.
package auth
