import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import org.apache.sshd.client.SshClient;
import org.apache.sshd.client.auth.keyboard.UserInteraction;
import org.apache.sshd.client.channel.ClientChannelEvent;
import org.apache.sshd.client.session.ClientSession;
import org.apache.sshd.client.session.ClientSession.ClientSessionEvent;
import org.apache.sshd.common.keyprovider.FileKeyPairProvider;
import org.apache.sshd.common.util.net.SshdSocketAddress;
import org.apache.sshd.server.forward.AcceptAllForwardingFilter;

/** Puts a local server online with ssh -R, on Apache MINA SSHD. The relay's key is not verified. */
public final class Mina {
    public static void main(String[] args) throws Exception {
        SshClient client = SshClient.setUpDefaultClient();
        client.setServerKeyVerifier((session, address, key) -> true);
        client.setForwardingFilter(AcceptAllForwardingFilter.INSTANCE);
        client.setUserInteraction(new UserInteraction() {
            @Override
            public String[] interactive(ClientSession s, String name, String instruction, String lang, String[] prompt, boolean[] echo) {
                return new String[prompt.length];
            }

            @Override
            public String getUpdatedPassword(ClientSession s, String prompt, String lang) {
                return null;
            }
        });
        client.start();
        ClientSession session = client.connect(Settings.USER, args[0], Integer.parseInt(args[1])).verify(30_000).getSession();
        if (!Settings.KEY.isEmpty()) {
            new FileKeyPairProvider(Path.of(Settings.KEY)).loadKeys(session).forEach(session::addPublicKeyIdentity);
        }
        session.auth().verify(30_000);
        SshdSocketAddress bound = session.startRemotePortForwarding(
            new SshdSocketAddress(Settings.BIND, Settings.ASKED), new SshdSocketAddress(args[2], Integer.parseInt(args[3])));
        System.out.println("port " + bound.getPort());
        session.waitFor(EnumSet.of(ClientSessionEvent.CLOSED), 0);
        System.exit(1);
    }
}
