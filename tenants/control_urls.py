"""Pages of a tenant's people below `/control/`: who they are, what they may do, who of the platform looks in."""

from django.urls import path

from tenants.views import access, audit, invitations, people, support_access

app_name = "people"
urlpatterns = [
    path("people", people.person_list, name="person-list"),
    path("people/export", people.person_export, name="person-export"),
    path("people/invite", invitations.invite, name="person-invite"),
    path("people/invitations/<uuid:invitation_id>/resend", invitations.resend, name="invitation-resend"),
    path("people/invitations/<uuid:invitation_id>/withdraw", invitations.withdraw, name="invitation-withdraw"),
    path("people/<uuid:user_id>", people.person, name="person-detail"),
    path("people/<uuid:user_id>/close", people.person_close, name="person-close"),
    path("people/<uuid:user_id>/reopen", people.person_reopen, name="person-reopen"),
    path("people/<uuid:user_id>/grants", people.grant_give, name="grant-give"),
    path("people/<uuid:user_id>/grants/<int:grant_id>/take", people.grant_take, name="grant-take"),
    path("access", access.access_page, name="access"),
    path("audit", audit.audit_page, name="audit"),
    path("audit/export", audit.audit_export, name="audit-export"),
    path("support-access", support_access.support_access, name="support-access"),
    path("support-access/<uuid:opened_id>/end", support_access.end, name="support-access-end"),
]
