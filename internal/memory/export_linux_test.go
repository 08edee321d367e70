package memory

// GroupMemory is what control groups allow.
var GroupMemory = groupMemory

// TCPMemory is TCP, of a machine with files, memory and pages of its own.
var TCPMemory = tcpMemory
