package deploy

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// Labels on a namespace that an environment owns. The installation tells servers apart
// that share an adopted cluster and happen to have projects of the same name.
const (
	labelProject      = "towpath.dev/project"
	labelEnvironment  = "towpath.dev/environment"
	labelInstallation = "towpath.dev/installation"
	// labelSessions is "forbidden" where the API server is to refuse developers' sessions; dev
	// keeps it up to date, and until it has looked a new namespace must not be without it.
	labelSessions = "towpath.dev/sessions"
)

// bindingName is the role binding that lets an environment's jobs deploy.
const bindingName = "towpath-deployers"

// prepare makes the environment's namespace and gives its deployers the built-in role
// "admin" in it. It is idempotent and refuses a namespace that bears somebody else's
// labels, or none: Towpath never takes over what it did not make. A namespace that was
// handed over by a person bears no installation and is accepted.
func prepare(ctx context.Context, c kubernetes.Interface, env Environment, installation string) error {
	sessions := env.Sessions
	if sessions == "" {
		sessions = defaultSessions(env.Name)
	}
	want := map[string]string{labelProject: env.Project, labelEnvironment: env.Name, labelInstallation: installation, labelSessions: sessions}
	ns, err := c.CoreV1().Namespaces().Get(ctx, env.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: env.Namespace, Labels: want}}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("making namespace %s: %w", env.Namespace, err)
		}
	case err != nil:
		return fmt.Errorf("reading namespace %s: %w", env.Namespace, err)
	case ns.Labels[labelProject] != env.Project || ns.Labels[labelEnvironment] != env.Name:
		return fault.New(fault.Denied, "Namespace %s exists in the cluster and does not belong to environment %s of project %s.", env.Namespace, env.Name, env.Project).
			WithNext("choose another namespace, or hand it over: kubectl label namespace %s %s=%s %s=%s", env.Namespace,
				labelProject, env.Project, labelEnvironment, env.Name)
	case ns.Labels[labelInstallation] != "" && ns.Labels[labelInstallation] != installation:
		return fault.New(fault.Denied, "Namespace %s belongs to another Towpath installation on this cluster.", env.Namespace).
			WithNext("choose another namespace; if that installation is no more: kubectl label namespace %s --overwrite %s=%s", env.Namespace,
				labelInstallation, installation)
	}
	if _, err := c.RbacV1().RoleBindings(env.Namespace).Get(ctx, bindingName, metav1.GetOptions{}); err == nil {
		return nil
	} else if !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading the role binding of namespace %s: %w", env.Namespace, err)
	}
	_, err = c.RbacV1().RoleBindings(env.Namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: bindingName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: Group(env.Project, env.Name)}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("binding the deployers of namespace %s: %w", env.Namespace, err)
	}
	return nil
}

// Installation identifies this installation for as long as its logbook lives: by the
// logbook's first event.
func (s *Service) Installation(ctx context.Context) (string, error) {
	first, err := s.Log.Read(ctx, event.Query{Limit: 1})
	if err != nil {
		return "", err
	}
	if len(first) == 0 {
		return "", errors.New("identifying the installation: its logbook is empty")
	}
	return first[0].ID, nil
}
