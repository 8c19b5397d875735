package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// headerMax bounds how long a client may take to send its headers, headerBytesMax how long they may be, idleMax how long a connection is
	// kept for a next request, shutdownMax how long requests under way may take on at the end.
	headerMax      = 10 * time.Second
	headerBytesMax = 64 << 10
	idleMax        = 2 * time.Minute
	shutdownMax    = time.Second
	// certificateEvery is how often the files of a certificate are looked at for a newer one.
	certificateEvery = 10 * time.Second
)

// Serve serves until ctx ends; requests under way get a moment to end. secure nil serves without TLS.
func Serve(ctx context.Context, h http.Handler, l net.Listener, secure *tls.Config, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headerMax, IdleTimeout: idleMax, MaxHeaderBytes: headerBytesMax, TLSConfig: secure,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownMax)
		defer cancel()
		if s.Shutdown(limited) != nil {
			s.Close() //nolint:errcheck // nothing is left to be done about it
		}
	})
	var err error
	if secure != nil {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if !stop() {
		<-done
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// TLS makes a configuration of a certificate and its key, in PEM files; both "" is nil, for no TLS. The files are read again when they change,
// so that a renewed certificate needs no restart; one that cannot be read then leaves the old one.
func TLS(certFile, keyFile string, now func() time.Time) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, errors.New("TLS needs both a certificate and its key")
	}
	c := &certificate{cert: certFile, key: keyFile, now: now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

type certificate struct {
	cert, key string
	now       func() time.Time
	mu        struct {
		sync.Mutex
		current        *tls.Certificate
		read, modified time.Time
	}
}

// load reads the files.
func (c *certificate) load() error {
	st, err := os.Stat(c.cert)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.cert, c.key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.current, c.mu.read, c.mu.modified = &pair, c.now(), st.ModTime()
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	current, due, modified := c.mu.current, c.now().Sub(c.mu.read) >= certificateEvery, c.mu.modified
	if due {
		c.mu.read = c.now()
	}
	c.mu.Unlock()
	if !due {
		return current, nil
	}
	if st, err := os.Stat(c.cert); err != nil || st.ModTime().Equal(modified) || c.load() != nil {
		return current, nil // the old one goes on until the new one is whole
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.current, nil
}
