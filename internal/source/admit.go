package source

import (
	"context"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// request is a Git request; admit fills what was found to be allowed.
type request struct {
	service  string // git-upload-pack or git-receive-pack
	repo     Repo
	actor    identity.Actor
	door     string // one of the doors
	made     bool   // the repository was made by this request
	dir      string // of the repository, or of the blank one
	protocol string // GIT_PROTOCOL, "" for version 0
}

var protocolForm = regexp.MustCompile(`^version=[012](:[a-z0-9-]{1,32}(=[a-z0-9-]{0,32})?){0,8}$`)

// ProtocolOK reports whether a value of GIT_PROTOCOL has the form that git sends; any
// other never reaches the environment of a process.
func ProtocolOK(value string) bool { return protocolForm.MatchString(value) }

// admit authorises what an authenticated actor asks for, by the names of the address and
// nothing else. change says that a push may make the repository now; before that, one that
// does not exist looks like an empty one to somebody who may make it.
func (s *Service) admit(ctx context.Context, q request, a Address, change bool) (request, error) {
	if !ProtocolOK(q.protocol) {
		q.protocol = ""
	}
	if q.actor.Kind == identity.KindKey {
		return s.admitKey(ctx, q, a)
	}
	if q.service == receivePack {
		if !q.actor.Known() {
			return request{}, unauthentic()
		}
		return s.admitPush(ctx, q.versioned(), a, change)
	}
	if q.actor.Kind == identity.KindRun && q.actor.Job.MayClone(a.Project+"/"+a.Repo) {
		// Reading alone, by Git alone: the pipeline was permitted to use the repository.
	} else if err := s.auth.Require(ctx, q.actor, a.Project, identity.Read); err != nil {
		if !q.actor.Known() {
			return request{}, unauthentic()
		}
		return request{}, err
	}
	var err error
	if q.repo, err = s.find(ctx, a.Project, a.Repo); err != nil {
		return request{}, err
	}
	q.dir = s.dir(q.repo)
	return q, nil
}

// versioned gives a push version 0 when the client asks for version 2, which receive-pack
// does not have.
func (q request) versioned() request {
	if strings.HasPrefix(q.protocol, "version=2") {
		q.protocol = ""
	}
	return q
}

// admitKey lets a deploy key reach its own repository, and makes nothing. To such a key
// any other repository does not exist.
func (s *Service) admitKey(ctx context.Context, q request, a Address) (request, error) {
	full := a.Project + "/" + a.Repo
	if q.actor.Key.Repo != full {
		return request{}, fault.New(fault.NotFound, "There is no repository %s that this deploy key may see.", full).
			WithNext("use the address of its own repository")
	}
	if q.service == receivePack {
		if !q.actor.Key.Write {
			return request{}, fault.New(fault.Denied, "This deploy key may read %s, and not push to it.", full).
				WithNext("ask a maintainer of %s for a key that may write", a.Project)
		}
		q = q.versioned()
	}
	var err error
	if q.repo, err = s.find(ctx, a.Project, a.Repo); err != nil {
		return request{}, err
	}
	q.dir = s.dir(q.repo)
	return q, nil
}

func (s *Service) admitPush(ctx context.Context, q request, a Address, change bool) (request, error) {
	full := a.Project + "/" + a.Repo
	var err error
	if change {
		q.repo, q.made, err = s.EnsureRepo(ctx, q.actor, full)
		q.dir = s.dir(q.repo)
		return q, err
	}
	// Asking changes nothing, so a project that the push would make is not made yet;
	// the push itself asks EnsureProject.
	err = s.auth.Require(ctx, q.actor, a.Project, identity.Write)
	if fault.Is(err, fault.NotFound) && q.actor.Admin && q.actor.Cap >= identity.Write {
		q.dir = s.blank
		return q, nil
	}
	if err != nil {
		return request{}, err
	}
	q.repo, err = s.find(ctx, a.Project, a.Repo)
	if fault.Is(err, fault.NotFound) {
		q.dir = s.blank
		return q, nil
	}
	q.dir = s.dir(q.repo)
	return q, err
}
