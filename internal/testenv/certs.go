package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certFiles are paths of PEM files, all "" without TLS.
type certFiles struct {
	ca, serverCert, serverKey, clientCert, clientKey string
}

// newCerts makes an authority that lives for a day, and a server's and a client's
// certificate signed by it.
func newCerts(t testing.TB, dir string) certFiles {
	t.Helper()
	ca := issue(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "testenv authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	server := issue(t, &ca, &x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	client := issue(t, &ca, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "client"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	f := certFiles{}
	f.ca, _ = ca.write(t, dir, "ca")
	f.serverCert, f.serverKey = server.write(t, dir, "server")
	f.clientCert, f.clientKey = client.write(t, dir, "client")
	return f
}

type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue signs template with parent's key, or with its own if parent is nil.
func issue(t testing.TB, parent *issued, template *x509.Certificate) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	signer := issued{cert: template, key: key}
	if parent != nil {
		signer = *parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{cert: cert, key: key}
}

func (i issued) write(t testing.TB, dir, name string) (certFile, keyFile string) {
	t.Helper()
	keyDER, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: i.cert.Raw},
		keyFile:  {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// dial opens a connection to the server the way its clients must.
func (s *Server) dial() (net.Conn, error) {
	d := &net.Dialer{Timeout: time.Second}
	if !s.opts.tls {
		return d.Dial("tcp", s.Addr())
	}
	conf, err := s.ClientTLS()
	if err != nil {
		return nil, err
	}
	return tls.DialWithDialer(d, "tcp", s.Addr(), conf)
}

// ClientTLS returns what a client in this process needs to connect to a server with TLS
// or ClientCert.
func (s *Server) ClientTLS() (*tls.Config, error) {
	pemCA, err := os.ReadFile(s.certs.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pemCA)
	conf := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if s.opts.clientCert {
		cert, err := tls.LoadX509KeyPair(s.certs.clientCert, s.certs.clientKey)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}
