package rest

func (s *Server) routeFlink() {}
