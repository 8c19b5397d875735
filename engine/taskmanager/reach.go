package taskmanager

import "net"

// reachable is where peers reach a taskmanager whose connection to the jobmanager, at HOST:PORT, has this local end. Debian gives a machine's own name the
// address 127.0.1.1, so on the jobmanager's machine the connection to it is a loopback one, whose address is of no use to other machines: there it is
// the address of the way out, when there is one. Who names the jobmanager localhost or 127.0.0.1 means this machine only.
func reachable(local net.IP, jobmanager string, outward func() net.IP) net.IP {
	host, _, err := net.SplitHostPort(jobmanager)
	if err != nil || !local.IsLoopback() || host == "localhost" {
		return local
	}
	if ip := net.ParseIP(host); ip != nil && (ip.Equal(net.IPv4(127, 0, 0, 1)) || ip.Equal(net.IPv6loopback)) {
		return local
	}
	if ip := outward(); ip != nil && !ip.IsLoopback() && !ip.IsUnspecified() {
		return ip
	}
	return local
}

// outward is the address that packets to far networks leave from, or without a way there some address of this machine; nil without a network. Nothing is sent.
func outward() net.IP {
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil { // an address that is nobody's, for documentation
		defer c.Close() //nolint:errcheck // nothing was sent
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			return a.IP
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return nil
}
