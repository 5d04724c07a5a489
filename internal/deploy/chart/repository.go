package chart

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// Repository is a chart repository under a name, as Helm's repositories.yaml has it.
type Repository struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Everywhere has the credentials go to charts on other hosts too.
	Everywhere bool `json:"pass_credentials_all,omitempty"`
}

// Repositories are those that a job added.
type Repositories []Repository

// maxRepositories bounds how many a job may add.
const maxRepositories = 100

type repositoriesFile struct {
	APIVersion   string       `json:"apiVersion"`
	Repositories Repositories `json:"repositories"`
}

// ReadRepositories reads a file repositories.yaml; an empty one has none.
func ReadRepositories(text string) (Repositories, error) {
	var f repositoriesFile
	if err := yaml.Unmarshal([]byte(text), &f); err != nil {
		return nil, fault.New(fault.Invalid, "The file repositories.yaml of this job cannot be read.").WithNext("add the repositories with helm repo add")
	}
	if len(f.Repositories) > maxRepositories {
		return nil, fault.New(fault.TooLarge, "The job has more than %d chart repositories.", maxRepositories)
	}
	return f.Repositories, nil
}

// Text is the file repositories.yaml.
func (r Repositories) Text() ([]byte, error) {
	return yaml.Marshal(repositoriesFile{APIVersion: "v1", Repositories: r})
}

// Find returns a repository by its name.
func (r Repositories) Find(name string) (Repository, bool) {
	i := slices.IndexFunc(r, func(x Repository) bool { return x.Name == name })
	if i < 0 {
		return Repository{}, false
	}
	return r[i], true
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Add checks that there is a repository, and gives it a name. One that has the name already is
// replaced when it is the same or force says so, as `helm repo add` does.
func (c *Client) Add(ctx context.Context, list Repositories, add Repository, force bool) (Repositories, error) {
	if !repositoryName.MatchString(add.Name) {
		return nil, fault.New(fault.Invalid, "%q is no name for a chart repository.", add.Name).WithNext("write: repo add NAME URL")
	}
	if strings.HasPrefix(add.URL, "oci://") {
		return nil, fault.New(fault.Invalid, "An OCI registry is not added as a chart repository.").WithNext("write chartName: %s/CHART", strings.TrimSuffix(add.URL, "/"))
	}
	at := slices.IndexFunc(list, func(x Repository) bool { return x.Name == add.Name })
	if at >= 0 && list[at].URL != add.URL && !force {
		return nil, fault.New(fault.Conflict, "The chart repository %s is %s already.", add.Name, bare(list[at].URL)).WithNext("give --force-update, or another name")
	}
	if at < 0 && len(list) >= maxRepositories {
		return nil, fault.New(fault.TooLarge, "The job has %d chart repositories already.", maxRepositories)
	}
	if _, err := c.index(ctx, add); err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	if at >= 0 {
		list[at] = add
		return list, nil
	}
	return append(list, add), nil
}

// Remove forgets repositories.
func (r Repositories) Remove(names ...string) (Repositories, error) {
	out := slices.Clone(r)
	for _, name := range names {
		i := slices.IndexFunc(out, func(x Repository) bool { return x.Name == name })
		if i < 0 {
			return nil, fault.New(fault.NotFound, "There is no chart repository %q.", name)
		}
		out = slices.Delete(out, i, i+1)
	}
	return out, nil
}

// index is what of an index.yaml is needed here.
type index struct {
	Entries map[string][]indexEntry `json:"entries"`
}

type indexEntry struct {
	Version string   `json:"version"`
	URLs    []string `json:"urls"`
	Digest  string   `json:"digest"`
}

func (c *Client) index(ctx context.Context, r Repository) (index, error) {
	var out index
	at, err := joined(r.URL, "index.yaml")
	if err != nil {
		return out, err
	}
	text, err := c.get(ctx, at, Login{Username: r.Username, Password: r.Password}, MaxIndex)
	if err != nil {
		return out, err
	}
	if err := yaml.Unmarshal(text, &out); err != nil || out.Entries == nil {
		return out, fault.New(fault.Invalid, "%s is no index of a chart repository.", bare(at)).WithNext("check the address: it is the folder that index.yaml is in")
	}
	return out, nil
}

// indexed fetches a chart of a repository.
func (c *Client) indexed(ctx context.Context, r Repository, name, version string) (Chart, error) {
	have, err := c.index(ctx, r)
	if err != nil {
		return Chart{}, err
	}
	entries := have.Entries[name]
	if len(entries) == 0 {
		return Chart{}, fault.New(fault.NotFound, "The repository %s has no chart %q.", bare(r.URL), name)
	}
	versions := make([]string, len(entries))
	for i, e := range entries {
		versions[i] = e.Version
	}
	i, err := choose(versions, version)
	if err != nil {
		return Chart{}, err
	}
	if i < 0 {
		return Chart{}, noVersion(name, bare(r.URL), version)
	}
	if len(entries[i].URLs) == 0 {
		return Chart{}, fault.New(fault.Invalid, "The repository %s does not say where the chart %s %s is.", bare(r.URL), name, entries[i].Version)
	}
	if strings.HasPrefix(entries[i].URLs[0], "oci://") {
		return c.pull(ctx, Want{Ref: entries[i].URLs[0], Version: entries[i].Version})
	}
	at, err := joined(r.URL, entries[i].URLs[0])
	if err != nil {
		return Chart{}, err
	}
	var auth Login
	if r.Everywhere || same(r.URL, at) {
		auth = Login{Username: r.Username, Password: r.Password}
	}
	return c.archive(ctx, at, entries[i].Digest, auth)
}

func noVersion(name, where, version string) error {
	if version == "" {
		return fault.New(fault.NotFound, "%s has no released version of the chart %s.", where, name).WithNext("write the version, or --devel for pre-releases")
	}
	return fault.New(fault.NotFound, "%s has no version %q of the chart %s.", where, version, name)
}
