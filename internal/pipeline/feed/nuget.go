package feed

import (
	"archive/zip"
	"cmp"
	"context"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// nuget speaks version 3 of NuGet's API (learn.microsoft.com/nuget/api/overview).
type nuget struct{ *Client }

var (
	nugetID      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)
	nugetVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,99}$`)
)

func checkNuGet(s *Source) error {
	switch {
	case !nugetID.MatchString(s.Name):
		return fault.New(fault.Invalid, "%.100q is no id of a NuGet package.", s.Name)
	case s.Tag != "":
		return fault.New(fault.Invalid, "NuGet packages have no tags, such as %.60q.", s.Tag).WithNext("name a version")
	case !s.newest() && !nugetVersion.MatchString(s.Version):
		return fault.New(fault.Invalid, "%.60q is no version of a NuGet package.", s.Version)
	}
	return nil
}

// base is where the content of packages lies: the resource PackageBaseAddress/3.0.0 of the
// service index.
func (n nuget) base(ctx context.Context, s *Source) (string, error) {
	index := strings.TrimRight(strings.TrimSpace(s.URL), "/")
	if !strings.HasSuffix(strings.ToLower(index), ".json") {
		index += "/index.json"
	}
	var service struct {
		Resources []struct {
			ID   string `json:"@id"`
			Type string `json:"@type"`
		} `json:"resources"`
	}
	if err := n.document(ctx, s, index, "service index of NuGet", &service); err != nil {
		return "", err
	}
	for _, r := range service.Resources {
		if r.Type == "PackageBaseAddress/3.0.0" {
			return strings.TrimRight(r.ID, "/"), nil
		}
	}
	return "", fault.New(fault.Invalid, "The server offers no content of packages (PackageBaseAddress/3.0.0).").WithNext("give the service connection the address of a NuGet V3 feed")
}

func (n nuget) versions(ctx context.Context, s *Source, base string) ([]string, error) {
	var list struct {
		Versions []string `json:"versions"`
	}
	err := n.document(ctx, s, base+"/"+url.PathEscape(strings.ToLower(s.Name))+"/index.json", "the package "+s.Name, &list)
	return newestFirst(list.Versions), err
}

func (n nuget) resolve(ctx context.Context, s *Source) (string, error) {
	base, err := n.base(ctx, s)
	if err != nil {
		return "", err
	}
	list, err := n.versions(ctx, s, base)
	if err != nil {
		return "", err
	}
	if !s.newest() {
		if i := slices.IndexFunc(list, func(v string) bool { return normal(v) == normal(s.Version) }); i >= 0 {
			return list[i], nil
		}
		return "", errVersion("the package "+s.Name, s.Version, list)
	}
	if i := slices.IndexFunc(list, func(v string) bool { return !strings.Contains(normal(v), "-") }); i >= 0 {
		return list[i], nil
	}
	if len(list) == 0 {
		return "", fault.New(fault.NotFound, "The package %s has no version.", s.Name)
	}
	return list[0], nil
}

func (n nuget) fetch(ctx context.Context, s *Source, version string, _ Keep, write Write) error {
	if !nugetVersion.MatchString(version) {
		return fault.New(fault.Invalid, "%.60q is no version of a NuGet package.", version)
	}
	base, err := n.base(ctx, s)
	if err != nil {
		return err
	}
	id, v, what := strings.ToLower(s.Name), normal(version), "the package "+s.Name+" "+version
	body, err := n.get(ctx, s, base+"/"+url.PathEscape(id)+"/"+url.PathEscape(v)+"/"+url.PathEscape(id+"."+v+".nupkg"), what)
	if err != nil {
		return err
	}
	defer body.Close()
	f, size, err := n.spool(body, what)
	if err != nil {
		return err
	}
	defer discard(f)
	archive, err := zip.NewReader(f, size)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The archive of %s cannot be read.", what)
	}
	return n.unzip(archive, what, write)
}

// unzip writes the files of a package, all but those of the packaging itself (ECMA-376, part 2).
func (c *Client) unzip(archive *zip.Reader, what string, write Write) error {
	b := budget{limits: c.limits}
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, "/") || f.Name == "[Content_Types].xml" || strings.HasPrefix(f.Name, "_rels/") || strings.HasPrefix(f.Name, "package/services/") {
			continue
		}
		if !f.Mode().IsRegular() {
			return fault.New(fault.Invalid, "The archive of %s has %.100q, which is no file.", what, f.Name)
		}
		name, err := url.PathUnescape(f.Name) // Names of parts are escaped.
		if err != nil {
			name = f.Name
		}
		r, err := f.Open()
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The archive of %s cannot be read.", what)
		}
		err = b.write(write, name, r)
		_ = r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// normal is a version as NuGet compares and stores it: in lower case, without what stands
// behind a plus, without leading zeros, with three numbers, and a fourth one when it is not 0
// (learn.microsoft.com/nuget/concepts/package-versioning, "Normalized version numbers").
func normal(version string) string {
	text, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(version)), "+")
	numbers, pre, has := strings.Cut(text, "-")
	parts := strings.Split(numbers, ".")
	for i, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 63); err == nil {
			parts[i] = strconv.FormatUint(n, 10)
		}
	}
	for len(parts) < 3 {
		parts = append(parts, "0")
	}
	if len(parts) == 4 && parts[3] == "0" {
		parts = parts[:3]
	}
	out := strings.Join(parts, ".")
	if has {
		out += "-" + pre
	}
	return out
}

// newestFirst sorts versions by Semantic Versioning 2.0.0 (item 11), with as many numbers as
// there are.
func newestFirst(list []string) []string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b string) int { return compare(b, a) })
	return list
}

func compare(a, b string) int {
	numbersA, preA, hasA := strings.Cut(normal(a), "-")
	numbersB, preB, hasB := strings.Cut(normal(b), "-")
	if c := compareParts(numbersA, numbersB); c != 0 {
		return c
	}
	switch {
	case hasA && !hasB:
		return -1
	case !hasA && hasB:
		return 1
	}
	return compareParts(preA, preB)
}

// compareParts compares texts part for part at their dots: numbers by their value and before
// words, words by their letters; what goes on is greater.
func compareParts(a, b string) int {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(left), len(right)) {
		n, errA := strconv.ParseUint(left[i], 10, 64)
		m, errB := strconv.ParseUint(right[i], 10, 64)
		var c int
		switch {
		case errA == nil && errB == nil:
			c = cmp.Compare(n, m)
		case errA == nil:
			c = -1
		case errB == nil:
			c = 1
		default:
			c = strings.Compare(left[i], right[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(left), len(right))
}
