package server

// Move tells the relay clients to register anew. It returns how many can be told, and how many
// cannot.
func (s *Server) Move() (told, untold int) { return s.endpoints.Move() }
