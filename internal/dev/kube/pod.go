package kube

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/fault"
)

// TunnelPort is where the session pod listens for the tunnel, on loopback: the API server's
// port-forward arrives there, and nobody of the namespace does.
const TunnelPort = 9903

// nobody runs the session's pod.
const nobody = 65532

// readyWithin bounds the wait for a session's pod.
const readyWithin = 90 * time.Second

// secretDir is where the pod finds its token, workDir where it keeps the developer's binary.
const (
	secretDir = "/etc/towpath-session"
	workDir   = "/work"
)

func name(s dev.Session) string { return "towpath-session-" + strings.ToLower(s.ID) }

// labelsOf is what all objects of a session bear. None of them is one that a chart's
// Service would select by.
func labelsOf(s dev.Session) map[string]string {
	return map[string]string{LabelSession: strings.ToLower(s.ID), LabelSessionOf: s.Service, "app.kubernetes.io/managed-by": "towpath"}
}

func meta(s dev.Session) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name(s), Namespace: s.Namespace, Labels: labelsOf(s)}
}

// Create makes the pod of a session, with its secret and its network policy first.
func (p *Pods) Create(ctx context.Context, s dev.Session, token string) (string, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return "", err
	}
	image, err := p.images.Agent(ctx)
	if err != nil {
		return "", fmt.Errorf("finding the agent's image: %w", err)
	}
	if _, err := c.NetworkingV1().NetworkPolicies(s.Namespace).Create(ctx, policy(s), metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("making the network policy of session %s: %w", s.ID, err)
	}
	immutable := true
	secret := &corev1.Secret{ObjectMeta: meta(s), Immutable: &immutable, Data: map[string][]byte{"token": []byte(token)}}
	if _, err := c.CoreV1().Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("making the secret of session %s: %w", s.ID, err)
	}
	if s.Mode == dev.Sync {
		if _, err := c.CoreV1().Services(s.Namespace).Create(ctx, service(s), metav1.CreateOptions{}); err != nil {
			return "", fmt.Errorf("making the service of session %s: %w", s.ID, err)
		}
	}
	return p.run(ctx, c, s, image)
}

// run makes the pod itself and waits until it is ready.
func (p *Pods) run(ctx context.Context, c kubernetes.Interface, s dev.Session, image string) (string, error) {
	services, err := c.CoreV1().Services(s.Namespace).List(ctx, metav1.ListOptions{Limit: maxServices})
	if err != nil {
		return "", fmt.Errorf("listing the services of %s: %w", s.Namespace, err)
	}
	if _, err := c.CoreV1().Pods(s.Namespace).Create(ctx, pod(s, image, arguments(s, services.Items)), metav1.CreateOptions{}); err != nil {
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return "", fault.Wrap(fault.Denied, err, "The cluster refuses the pod of a session in namespace %s: %v.", s.Namespace, err).
				WithNext("look at the policies of environment %s", s.Environment)
		}
		return "", fmt.Errorf("making the pod of session %s: %w", s.ID, err)
	}
	return p.await(ctx, c, s)
}

// await waits until the pod is ready and returns the address at which the session answers.
func (p *Pods) await(ctx context.Context, c kubernetes.Interface, s dev.Session) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	why := "it was not scheduled"
	for {
		got, err := c.CoreV1().Pods(s.Namespace).Get(ctx, name(s), metav1.GetOptions{})
		switch {
		case err == nil && ready(got):
			if s.Mode == dev.Sync {
				return name(s), nil
			}
			return got.Status.PodIP, nil
		case err == nil:
			why = waiting(got, why)
		case ctx.Err() == nil:
			return "", fmt.Errorf("waiting for the pod of session %s: %w", s.ID, err)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return "", ctx.Err()
			}
			return "", fault.New(fault.Unavailable, "The pod of the session did not become ready within %s: %s.", readyWithin, why).
				WithNext("look at it: towpath kubectl -n %s describe pod %s", s.Namespace, name(s))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.Status.PodIP != ""
		}
	}
	return false
}

func waiting(p *corev1.Pod, why string) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message != "" {
			why = c.Message
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil:
			why = strings.TrimSpace(c.State.Waiting.Reason + " " + c.State.Waiting.Message)
		case c.State.Terminated != nil:
			why = fmt.Sprintf("it ended with exit code %d", c.State.Terminated.ExitCode)
		case c.State.Running != nil:
			why = "it runs and is not ready"
		}
	}
	return why
}

// Remove takes away what Create made.
func (p *Pods) Remove(ctx context.Context, s dev.Session) error {
	c, _, err := p.client(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for what, err := range map[string]error{
		"pod":            c.CoreV1().Pods(s.Namespace).Delete(ctx, name(s), deleteNow),
		"service":        c.CoreV1().Services(s.Namespace).Delete(ctx, name(s), metav1.DeleteOptions{}),
		"secret":         c.CoreV1().Secrets(s.Namespace).Delete(ctx, name(s), metav1.DeleteOptions{}),
		"network policy": c.NetworkingV1().NetworkPolicies(s.Namespace).Delete(ctx, name(s), metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("removing the %s of session %s: %w", what, s.ID, err))
		}
	}
	return errors.Join(errs...)
}

// pod is a session's pod. It passes pod security "restricted"; it may listen below 1024
// because services have such ports, by a sysctl of its own network namespace that the
// profile allows, not by a capability.
func pod(s dev.Session, image string, args []string) *corev1.Pod {
	no, yes, uid, grace := false, true, int64(nobody), int64(5)
	return &corev1.Pod{
		ObjectMeta: meta(s),
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no, TerminationGracePeriodSeconds: &grace,
			// It ends well when its lease is over, and is to stay so.
			RestartPolicy: corev1.RestartPolicyOnFailure,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &uid, RunAsGroup: &uid, FSGroup: &uid,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				Sysctls:        []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}},
			},
			Containers: []corev1.Container{container(s, image, args)},
			Volumes: []corev1.Volume{
				{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name(s), DefaultMode: mode(0o440)}}},
				{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: quantity("1Gi")}}},
			},
		},
	}
}

func container(s dev.Session, image string, args []string) corev1.Container {
	no, yes := false, true
	return corev1.Container{
		Name: "session", Image: image, Args: args,
		Env: []corev1.EnvVar{{Name: "POD_NAMESPACE", Value: s.Namespace}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, RunAsNonRoot: &yes,
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: *quantity(memory(s))},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "token", MountPath: secretDir, ReadOnly: true},
			{Name: "work", MountPath: workDir},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// memory is the limit of the pod: with sync the developer's program runs in it.
func memory(s dev.Session) string {
	if s.Mode == dev.Sync {
		return "1Gi"
	}
	return "128Mi"
}

func mode(m int32) *int32 { return &m }

func quantity(s string) *resource.Quantity {
	q := resource.MustParse(s)
	return &q
}

// policy isolates the session's pod: only the router reaches it, and where it may go is what
// the platform's policies for sessions of its service say, which follow those of the
// namespace's owner (docs/adr/0018). Without them it reaches nothing.
func policy(s dev.Session) *networkingv1.NetworkPolicy {
	router := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "towpath-router"}}}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: meta(s),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{LabelSession: strings.ToLower(s.ID)}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{router}}},
		},
	}
}

// service maps the ports of the session's service to those that the developer's binary
// listens on, because with sync nothing in the pod stands between the two.
func service(s dev.Session) *corev1.Service {
	out := &corev1.Service{ObjectMeta: meta(s), Spec: corev1.ServiceSpec{Selector: map[string]string{LabelSession: strings.ToLower(s.ID)}}}
	for _, p := range s.Ports {
		out.Spec.Ports = append(out.Spec.Ports, corev1.ServicePort{
			Name: "p" + strconv.Itoa(p.Port), Port: int32(p.Port), TargetPort: intstr.FromInt(p.Target),
		})
	}
	return out
}

// arguments start the agent as the near end of a tunnel. What the developer's program may
// reach by address, without asking for a name first, are the services that stand in its
// environment.
func arguments(s dev.Session, services []corev1.Service) []string {
	var ports []string
	for _, p := range s.Ports {
		port := p.Port
		if s.Mode == dev.Sync {
			port = p.Target
		}
		ports = append(ports, strconv.Itoa(port))
	}
	out := []string{
		"session", "--id", s.ID, "--ports", strings.Join(ports, ","), "--token-file", secretDir + "/token", "--control", "127.0.0.1:" + strconv.Itoa(TunnelPort),
		"--max-age", s.Until.Sub(s.Started).Round(time.Second).String(),
	}
	if s.Mode == dev.Sync {
		out = append(out, "--sync", workDir)
	}
	for _, svc := range services {
		if ip := svc.Spec.ClusterIP; ip != "" && ip != corev1.ClusterIPNone && svc.Labels[LabelSession] == "" {
			out = append(out, "--allow", ip)
		}
	}
	return out
}
