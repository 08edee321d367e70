// Package memory asks the system how much memory there is: for the process, and for the
// sockets of all processes.
package memory

// tcpShare is the part of memory that Linux lets sockets hold before it is short of
// memory for them, unless tcp_mem says otherwise (tcp_init_mem of the kernel's tcp.c).
const tcpShare = 16
