package admin

import "time"

// SetReaderWait has readers of the stream be cut off after another time.
func SetReaderWait(s *Server, d time.Duration) { s.readerWait = d }

// Operations returns the methods and paths of the API, below /api/v1.
func Operations() (all [][2]string) {
	for _, operations := range [][]route{new(Server).operations(), new(door).sessionOperations(), new(door).ownerOperations()} {
		for _, op := range operations {
			all = append(all, [2]string{op.method, op.path})
		}
	}
	return all
}
