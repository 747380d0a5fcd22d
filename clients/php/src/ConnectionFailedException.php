<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * No response arrived in time.
 */
final class ConnectionFailedException extends NiviscoException
{
}
