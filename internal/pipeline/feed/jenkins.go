package feed

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// jenkins speaks Jenkins' remote access API (www.jenkins.io/doc/book/using/remote-access-api).
type jenkins struct{ *Client }

func checkJenkins(s *Source) error {
	for part := range strings.SplitSeq(s.Name, "/") {
		if part == "" || part == "." || part == ".." {
			return fault.New(fault.Invalid, "%.100q is no job of Jenkins.", s.Name).WithNext("write JOB, or FOLDER/JOB")
		}
	}
	if !s.newest() && !number(s.Version) {
		return fault.New(fault.Invalid, "%.60q is no number of a build.", s.Version).WithNext("write its number, or latest")
	}
	return nil
}

func number(text string) bool {
	n, err := strconv.ParseUint(text, 10, 31)
	return err == nil && n > 0
}

// build is what Jenkins says of one.
type build struct {
	Number    int64  `json:"number"`
	Result    string `json:"result"`
	Building  bool   `json:"building"`
	Artifacts []struct {
		Path string `json:"relativePath"`
	} `json:"artifacts"`
}

// at is the address of a build: each folder is a job of its own, and so is a branch, whose
// slashes Jenkins writes as %2F.
func (jenkins) at(s *Source, which string) string {
	var parts []string
	for part := range strings.SplitSeq(s.Name, "/") {
		parts = append(parts, "job", url.PathEscape(part))
	}
	if s.Branch != "" {
		parts = append(parts, "job", url.PathEscape(url.PathEscape(strings.TrimPrefix(s.Branch, "refs/heads/"))))
	}
	return s.below(append(parts, which)...)
}

func (j jenkins) describe(ctx context.Context, s *Source, which, what string) (b build, err error) {
	err = j.document(ctx, s, j.at(s, which)+"/api/json?tree=number,result,building,artifacts[relativePath]", what, &b)
	if err == nil && b.Number <= 0 {
		err = fault.New(fault.Invalid, "The description of %s has no number.", what).WithNext("check that the service connection names a Jenkins")
	}
	return b, err
}

func (j jenkins) resolve(ctx context.Context, s *Source) (string, error) {
	which, what := "lastSuccessfulBuild", "successful build of "+s.Name
	if !s.newest() {
		which, what = s.Version, "build "+s.Version+" of "+s.Name
	}
	b, err := j.describe(ctx, s, which, what)
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(b.Number, 10), nil
}

func (j jenkins) fetch(ctx context.Context, s *Source, version string, keep Keep, write Write) error {
	if !number(version) {
		return fault.New(fault.Invalid, "%.60q is no number of a build.", version)
	}
	what := "build " + version + " of " + s.Name
	b, err := j.describe(ctx, s, version, what)
	if err != nil {
		return err
	}
	if b.Building {
		return fault.New(fault.Conflict, "The %s is still going on.", what).WithNext("run again when it has ended")
	}
	left := budget{limits: j.limits}
	for _, a := range b.Artifacts {
		if keep != nil && !keep(a.Path) {
			continue
		}
		if err := safe(a.Path); err != nil {
			return err
		}
		if err := j.file(ctx, s, version, a.Path, &left, write); err != nil {
			return err
		}
	}
	return nil
}

func (j jenkins) file(ctx context.Context, s *Source, version, path string, left *budget, write Write) error {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	body, err := j.get(ctx, s, j.at(s, version)+"/artifact/"+strings.Join(parts, "/"), "the file "+path)
	if err != nil {
		return err
	}
	defer body.Close()
	return left.write(write, path, body)
}
