package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"towpath.dev/towpath/internal/fault"
)

// hostKeyFile is the name of the host key in the data folder.
const hostKeyFile = "ssh_host_ed25519_key"

// maxHostKey bounds the file of the host key, in bytes.
const maxHostKey = 16 << 10

// HostKey loads the server's own Ed25519 key from the data folder, and makes it at the first
// start. Clients remember it, so it must not change. A file that others may read is refused.
func HostKey(data string) (ssh.Signer, error) {
	path := filepath.Join(data, hostKeyFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeHostKey(data, path); err != nil {
			return nil, fmt.Errorf("making the SSH host key: %w", err)
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("loading the SSH host key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > maxHostKey {
		return nil, fault.New(fault.Invalid, "The SSH host key %s must be a plain file that only the server may read; its mode is %v.", path, info.Mode()).
			WithNext("chmod 600 %s; when others could read it, remove it, and a new one is made", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("loading the SSH host key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("loading the SSH host key from %s: %w", path, err)
	}
	if signer.PublicKey().Type() != ssh.KeyAlgoED25519 {
		return nil, fault.New(fault.Invalid, "The SSH host key %s is of the type %s, not Ed25519.", path, signer.PublicKey().Type())
	}
	return signer, nil
}

// makeHostKey writes a new key. It appears under its name only when it is complete, and
// never replaces one: of two servers that start at once, both use the first.
func makeHostKey(data, path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "towpath host key")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(data, hostKeyFile+".new-") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// KnownHost returns the line with which a client's known_hosts trusts a server at an
// address ("localhost:7022").
func KnownHost(address string, key ssh.PublicKey) string {
	return knownhosts.Line([]string{knownhosts.Normalize(address)}, key)
}

// URL returns the address of a repository ("shop/web") for Git.
func URL(address, repo string) string { return "ssh://git@" + address + "/" + repo + ".git" }
