# Runs in the lab's root before systemd does: what an operator's machine has already, and the operator's own files.
cd /run/lab

for name in kinto-notify=kinto_notify.cli kinto=kinto.__main__; do
  printf '#!/opt/kinto-notify/bin/python\nimport sys\nfrom %s import main\nsys.exit(main())\n' "${name#*=}" \
    > "/opt/kinto-notify/bin/${name%=*}"
  chmod 755 "/opt/kinto-notify/bin/${name%=*}"
done

echo 'kinto:x:990:990::/nonexistent:/usr/sbin/nologin' >> /etc/passwd
echo 'kinto:x:990:' >> /etc/group
mkdir -p /etc/kinto
cp kinto.ini /etc/kinto/
chown -R kinto:kinto /etc/kinto
chmod 600 /etc/kinto/kinto.ini

# The operator's directory and the spool's, as the file that comes with the package makes them.
rm -rf /etc/kinto-notify /var/lib/kinto-notify
/opt/kinto-notify/bin/kinto-notify unit kinto-notify.tmpfiles.conf | sed 's/^#d /d /' > /etc/tmpfiles.d/kinto-notify.conf
systemd-tmpfiles --create /etc/tmpfiles.d/kinto-notify.conf
cp subscriptions.toml /etc/kinto-notify/
chmod 644 /etc/kinto-notify/subscriptions.toml

# Every secret as a credential.
for name in smtp-password=smtp-s3cret redis-url=redis://:redis-s3cret@127.0.0.1:6379/0 \
            secret=links-s3cret-0123 admin-token=admin-s3cret-0123; do
  (umask 077; echo "${name#*=}" > "/etc/kinto-notify/${name%%=*}")
done
for unit in kinto-notify.service kinto-notify@.service; do
  /opt/kinto-notify/bin/kinto-notify unit kinto-notify.service.d/credentials.conf \
    | sed '/smtp-url/d; s/^#LoadCredential/LoadCredential/' > "/etc/systemd/system/$unit.d/credentials.conf"
done
/opt/kinto-notify/bin/kinto-notify unit kinto-notify-relay > /etc/systemd/system/kinto-notify-relay.service
