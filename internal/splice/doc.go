// Package splice moves bytes from socket to socket through a kernel pipe, so
// that they never come to user space. It is the same system call on the way in
// ([Pipe.Fill]) and on the way out ([Pipe.Pour]).
//
// Pipes are scarce, since an unprivileged process has 64 MiB of them, and
// there may be none: whoever takes one holds it only while bytes are in it,
// and copies, with [Read], if there is none. Only Linux has them.
package splice
