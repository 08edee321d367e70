// Package auth says who may do what at a relay.
//
// It is in the manner of authorized_keys: a tokens file has one line for each
// identity, with its name, the SHA-256 of its secret, and what it may do:
//
//	# comment
//	db1 sha256:<64 hex digits> ports=20000-20010,20050 tunnels=5 expires=2027-01-31
//	web sha256:<64 hex digits> users=200 usersPerSecond=50 bytesPerSecond=10MB allow=10.0.0.0/8
//
// Fields are separated by spaces. Each key may be left out, and stands for no
// bound then:
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
// Whoever shows a secret is told apart by [Tokens.Identify]. [File] keeps the
// tokens of a file that changes while the relay runs, and tells a session when
// what it stands on is no longer so. A file that is missing, wrong or readable
// by others (see [secretfile.Check]) is an error, and never means that everybody may enter; a relay that
// is told of a file, by --tokens or by RELAY_TOKENS with the file's path, is
// closed. Secrets themselves are in no flag, no variable and no tokens file:
// [ReadSecretFile] reads the relay client's.
//
// What is here enforces nothing: rails and ports are figures, for package
// server to keep to. Nor is it proof against somebody who listens: a secret that
// goes over a network in the clear is anybody's.
package auth
