<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * No answer arrived within the time.
 */
final class ConnectionFailedException extends NiviscoException
{
}
