package feed

import (
	"context"
	"io"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// Words say what an error of this package means to people, with what to do next.
func Words(err error) string {
	if fault.KindOf(err) == fault.Internal {
		return err.Error()
	}
	message, next := fault.Public(err)
	if next != "" {
		message += " (" + next + ")"
	}
	return message
}

// Source is where something lies and what opens it.
type Source struct {
	Type string // npm, NuGet or Jenkins, in any case
	URL  string // of the registry, or of the build server
	// Header is sent to the host of URL and to no other.
	Header map[string]string
	// Name is the package ("@octo/web", "Octo.Web"), or the job of a build server with its
	// folders ("shop/web").
	Name string
	// Version is an exact version or the number of a build; "" and "latest" mean the newest.
	Version string
	Tag     string // npm's dist-tag; "" is latest
	Branch  string // of a multibranch job; "" for none
}

// newest reports whether the newest version is wanted.
func (s *Source) newest() bool { return s.Version == "" || strings.EqualFold(s.Version, "latest") }

// Write takes one file; path is relative, with slashes, and never leaves its folder.
type Write func(path string, r io.Reader) error

// Keep says which files of a build are wanted.
type Keep func(path string) bool

// kind is how one type of server is spoken to.
type kind interface {
	// resolve finds the version that the source means.
	resolve(ctx context.Context, s *Source) (string, error)
	// fetch writes the files of a version.
	fetch(ctx context.Context, s *Source, version string, keep Keep, write Write) error
}

func (c *Client) of(s *Source) (kind, error) {
	if _, err := parseURL(s.URL); err != nil {
		return nil, err
	}
	switch strings.ToLower(s.Type) {
	case "npm":
		return npm{c}, checkNPM(s)
	case "nuget":
		return nuget{c}, checkNuGet(s)
	case "jenkins":
		return jenkins{c}, checkJenkins(s)
	}
	return nil, fault.New(fault.Invalid, "The type %.40q is not known.", s.Type).WithNext("use npm, NuGet or Jenkins")
}

// Resolve returns the version, or the number of the build, that a source means now.
// fault.NotFound when there is no such package, version or build; fault.Denied when the server
// refuses; fault.Unavailable when it does not answer; fault.Invalid when its answer, or the
// source, cannot be read.
func (c *Client) Resolve(ctx context.Context, s Source) (string, error) {
	k, err := c.of(&s)
	if err != nil {
		return "", err
	}
	return k.resolve(ctx, &s)
}

// Fetch writes the files of a version: those of a package unpacked, or those that a build has
// archived and keep, if it is not nil, wants. The errors are those of Resolve, and what write
// returns; fault.TooLarge when there is more than the limits allow.
func (c *Client) Fetch(ctx context.Context, s Source, version string, keep Keep, write Write) error {
	k, err := c.of(&s)
	if err != nil {
		return err
	}
	return k.fetch(ctx, &s, version, keep, write)
}
