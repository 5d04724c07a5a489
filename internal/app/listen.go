package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// listen binds an address that was given by a flag. A port in use is answered with who
// uses it.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		who := "another program"
		if w := portOwner(port); w != "" {
			who = w
		}
		return nil, fault.Wrap(fault.Conflict, err, "Port %s is in use by %s.", port, who).
			WithNext("stop it, or choose another port with --%s HOST:PORT", flag)
	}
	if errors.Is(err, syscall.EACCES) {
		return nil, fault.Wrap(fault.Denied, err, "This user may not listen on %s.", addr).WithNext("choose a port above 1023 with --%s HOST:PORT", flag)
	}
	return nil, fault.Wrap(fault.Invalid, err, "The address %q cannot be listened on.", addr).WithNext("write it as HOST:PORT, e.g. 127.0.0.1:7080")
}

// portOwner names the process that listens on a TCP port, "" when it cannot be told
// (not Linux, or somebody else's process and we are not root).
func portOwner(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			// Field 3 is the state, 0A is LISTEN; field 9 the socket's inode.
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && inodes[target] {
			pid := strings.Split(fd, "/")[2]
			name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
			if err != nil {
				return "process " + pid
			}
			return fmt.Sprintf("%s (process %s)", bytes.TrimSpace(name), pid)
		}
	}
	return ""
}

// issuerTLS makes the certificate of the issuer's loopback listener from the product's
// own key and writes it to path, for the cluster's API server to trust.
func issuerTLS(ctx context.Context, v *vault.Vault, db *store.DB, path string, now time.Time) (*tls.Config, error) {
	signer, err := v.Signer(ctx, db, "issuer-tls")
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("making the issuer's certificate: key is a %T", signer)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Towpath issuer"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost", "towpath.local"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the issuer's certificate: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, fmt.Errorf("writing the issuer's certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// grace is how long requests may go on after the end was asked for. Long polls and
// streams do not end by themselves and are cut off then.
const grace = 3 * time.Second

// serve answers on l until ctx ends, then lets requests finish for a while.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		patience, cancel := context.WithTimeout(requests, grace)
		defer cancel()
		if s.Shutdown(patience) != nil {
			cut()
			_ = s.Close() // What is left was told by its context; nobody waits for it.
		}
	}()
	err := s.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
}
